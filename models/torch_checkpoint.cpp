#include "models/torch_checkpoint.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "models/torch/json.h"

namespace pen {
namespace {

using torch::Kind;
using torch::Value;

// Each entry of a dict whose key is a text.
template <class F>
void each(const Value& dict, const F& f) {
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (dict.items[i]->is(Kind::text)) f(dict.items[i]->text, *dict.items[i + 1]);
}

bool is_tensor(const Value& v) { return v.is(Kind::tensor) && v.tensor; }

bool holds_tensors(const Value& v) {
  bool found = false;
  if (v.is(Kind::dict)) each(v, [&](const std::string&, const Value& item) { found |= is_tensor(item); });
  return found;
}

Tensor tensor_of(const torch::File& file, const Value& v, const std::string& name) {
  const torch::TensorInfo& t = *v.tensor;
  const DType type = torch::memory_type(t.type);
  file.charge(t, name, t.numel() * size_of(type));
  Tensor out = Tensor::empty(t.shape, type);
  if (out.numel() > 0) file.read_widened(t, out.mutable_bytes());
  return out;
}

class Reader {
 public:
  explicit Reader(const torch::File& file) : file_(file) { out_.path = file.path(); }

  Checkpoint run() {
    const Value& root = file_.root();
    if (!root.is(Kind::dict))
      refuse("holds " + describe(root) +
             (root.is(Kind::object)
                  ? ", a whole pickled module: save its weights alone, torch.save(model.state_dict(), ...)"
                  : ", expected a dictionary of tensors"));
    // best_acc1 is a tensor beside the state dict: single tensors make a state dict only if there is none below.
    bool below = false;
    each(root, [&](const std::string&, const Value& v) { below |= holds_tensors(v); });
    if (!below && holds_tensors(root))
      state("state_dict_classifier", root);
    else
      parts(root);
    if (out_.parts.empty()) {
      std::string keys;
      each(root, [&](const std::string& key, const Value&) {
        if (keys.size() < 200) keys += (keys.empty() ? "" : ", ") + torch::printable(key, 40);
      });
      refuse("holds no tensors" + (keys.empty() ? "" : "; its keys are " + keys));
    }
    for (const std::string& warning : file_.warnings()) log::warn("'" + file_.path() + "' " + warning);
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    fail(ErrorKind::checkpoint, "'" + file_.path() + "' " + reason);
  }

  // The tensors of a dict as a part. Names lose `module.` if all have it.
  void state(const std::string& part, const Value& dict) {
    static constexpr std::string_view parallel = "module.";
    bool all = true;
    std::size_t others = 0;
    std::set<std::string_view> names;
    each(dict, [&](const std::string& name, const Value& v) {
      if (!is_tensor(v)) return void(++others);
      all &= name.starts_with(parallel) && name.size() > parallel.size();
      if (!names.insert(name).second) refuse(str(part, " holds '", torch::printable(name), "' twice"));
    });
    if (others > 0) log::warn(str("'", file_.path(), "': ", others, " entries of ", part, " are no tensors"));
    StateDict& to = out_.parts[part];
    each(dict, [&](const std::string& name, const Value& v) {
      if (is_tensor(v)) to.push_back({all ? name.substr(parallel.size()) : name, tensor_of(file_, v, name)});
    });
  }

  // A dictionary of state dicts and other things.
  void parts(const Value& root) {
    const auto take = [&](const char* key, const char* part) {
      const Value* v = root.find(key);
      if (v && holds_tensors(*v) && !out_.has(part)) state(part, *v);
    };
    take("state_dict_classifier", "state_dict_classifier");
    for (const char* key : {"state_dict", "model", "model_state_dict", "net", "weights"})
      take(key, "state_dict_classifier");
    take("state_dict_masker", "state_dict_masker");
    take("state_dict_decoder", "state_dict_masker");
    static const std::set<std::string> taken{"state_dict", "model",   "model_state_dict",
                                             "net",        "weights", "state_dict_decoder"};
    each(root, [&](const std::string& key, const Value& v) {
      if (holds_tensors(v) && !out_.has(key) && !taken.count(key)) state(key, v);
    });
    const Value* own = root.find("penumbra");
    each(root, [&](const std::string& key, const Value& v) {
      if (v.is(Kind::dict) && v.find("param_groups")) optimizer(key, v, own);
    });
    if (own && own->find("facts"))
      own_facts(*own);
    else
      facts(root);
  }

  // What our own files say beside the reference's keys.
  void own_facts(const Value& own) {
    out_.facts.clear();
    each(*own.find("facts"), [&](const std::string& key, const Value& v) {
      if (!v.is(Kind::text)) refuse("says its " + torch::printable(key) + " as " + describe(v));
      out_.facts[key] = v.text;
    });
    const Value* zoo = own.find("zoo");
    if (!zoo || !zoo->is(Kind::list)) return;
    for (std::size_t i = 0; i < zoo->items.size(); ++i)
      if (holds_tensors(*zoo->items[i])) state("zoo." + std::to_string(i), *zoo->items[i]);
  }

  void facts(const Value& root) {
    for (const char* key : {"epoch", "best_acc1", "best_prec1"}) {
      const Value* v = root.find(key);
      if (v && (v->is(Kind::integer) || v->is(Kind::real))) out_.facts[key] = describe(*v);
      if (v && is_tensor(*v) && v->tensor->numel() == 1) out_.facts[key] = str(tensor_of(file_, *v, key).item());
    }
    if (const Value* v = root.find("arch"); v && v->is(Kind::text)) out_.facts["arch_name"] = v->text;
    const Value* args = root.find("args");
    // A Namespace of argparse is its dictionary of options; nothing else is asked of it.
    if (args && args->is(Kind::object) && args->type && args->type->text == "argparse.Namespace") args = args->state;
    if (!args || !args->is(Kind::dict)) return;
    out_.facts["args"] = json_of(*args);
    for (const char* key : {"masker_use_layers", "upsample", "add_prob_layers", "add_class_ids", "apply_gumbel",
                            "apply_gumbel_tau", "gumbel_output_mode"}) {
      const Value* v = args->find(key);
      if (!v) continue;
      if (v->is(Kind::text)) out_.facts[key] = v->text;
      if (v->is(Kind::boolean)) out_.facts[key] = v->integer ? "true" : "false";
      if (v->is(Kind::integer) || v->is(Kind::real)) out_.facts[key] = describe(*v);
      if (v->is(Kind::list) || v->is(Kind::tuple)) {
        std::string text;
        for (const Value* item : v->items) text += (text.empty() ? "" : ",") + describe(*item);
        out_.facts[key] = text;
      }
    }
  }

  // {'state': {id: {...}}, 'param_groups': [{..., 'params': [id...]}]}: the i-th id is the i-th parameter.
  void optimizer(const std::string& key, const Value& v, const Value* own) {
    std::string part = key == "optimizer" ? "optimizer_classifier" : key;
    if (key == "optimizer_decoder") part = "optimizer_masker";
    const auto bad = [&](const std::string& reason) { refuse(torch::printable(key) + ": " + reason); };
    const Value* groups = v.find("param_groups");
    const Value* states = v.find("state");
    if (!groups->is(Kind::list) || !states || !states->is(Kind::dict)) bad("not the state of an optimizer");
    std::vector<const Value*> ids;
    for (const Value* group : groups->items) {
      const Value* params = group->find("params");
      if (!params || !params->is(Kind::list)) bad("a group without params");
      ids.insert(ids.end(), params->items.begin(), params->items.end());
    }
    const std::vector<std::string> names = parameter_names(part, ids.size(), own);
    std::map<std::string, const Value*> by_id;  // integers and big integers by their digits
    for (std::size_t i = 0; i + 1 < states->items.size(); i += 2)
      by_id[describe(*states->items[i])] = states->items[i + 1];
    StateDict& to = out_.parts[part];
    std::set<std::string> seen;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string id = describe(*ids[i]);
      if (!seen.insert(id).second) bad("parameter " + id + " stands in the groups twice");
      const auto it = by_id.find(id);
      if (it == by_id.end()) continue;
      if (!it->second->is(Kind::dict)) bad("the state of parameter " + id + " is " + describe(*it->second));
      each(*it->second, [&](const std::string& entry, const Value& item) {
        if (entry == "step")
          steps(part, item);
        else if (is_tensor(item))
          to.push_back({names[i] + "." + entry, tensor_of(file_, item, key + "." + id + "." + entry)});
      });
    }
    if (!out_.facts.count(part + "_steps")) out_.facts[part + "_steps"] = to.empty() ? "0" : "1";
    if (!groups->items.empty()) out_.facts[part + "_group"] = group_json(*groups->items[0]);
  }

  // The parameters of the network that an optimizer belongs to, in order; numbers if they are not as many.
  std::vector<std::string> parameter_names(const std::string& part, std::size_t count, const Value* own) const {
    std::vector<std::string> names;
    const Value* given = own ? own->find("parameters") : nullptr;
    given = given ? given->find(part) : nullptr;
    if (given && given->is(Kind::list)) {
      for (const Value* name : given->items)
        if (name->is(Kind::text)) names.push_back(name->text);
    } else if (const auto it = out_.parts.find("state_dict_" + part.substr(part.find('_') + 1));
               it != out_.parts.end()) {
      for (const NamedTensor& t : it->second)
        if (!is_buffer_name(t.name)) names.push_back(t.name);
    }
    if (names.size() == count) return names;
    names.clear();
    for (std::size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
    return names;
  }

  // An int in older versions of PyTorch, a tensor of one element in newer ones; the same for all parameters.
  void steps(const std::string& part, const Value& v) {
    std::string text;
    if (is_tensor(v) && v.tensor->numel() == 1) {
      const Tensor t = tensor_of(file_, v, part + ".step");
      text = std::to_string(static_cast<std::int64_t>(t.item()));
    } else if (v.is(Kind::integer) || v.is(Kind::real)) {
      text = std::to_string(v.is(Kind::real) ? static_cast<std::int64_t>(v.real) : v.integer);
    } else {
      refuse(part + ": a step is " + describe(v));
    }
    const auto [it, is_new] = out_.facts.emplace(part + "_steps", text);
    if (!is_new && it->second != text)
      log::warn(str("'", file_.path(), "': ", part, " has parameters at step ", it->second, " and at step ", text));
  }

  static std::string group_json(const Value& group) {
    JsonWriter json;
    json.begin_object();
    each(group, [&](const std::string& key, const Value& v) {
      if (key != "params") json.key(key).raw(json_of(v, 4));
    });
    return json.end_object().text();
  }

  const torch::File& file_;
  Checkpoint out_;
};

}  // namespace

bool is_buffer_name(const std::string& name) {
  return name.ends_with("running_mean") || name.ends_with("running_var") || name.ends_with("num_batches_tracked");
}

Checkpoint checkpoint_of(const torch::File& file) { return Reader(file).run(); }

}  // namespace pen
