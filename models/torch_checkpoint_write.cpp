#include <charconv>
#include <set>
#include <unordered_map>

#include "base/json.h"
#include "models/torch/write.h"
#include "models/torch_checkpoint.h"

namespace pen {
namespace {

using torch::Builder;
using torch::Value;

Value* of_json(Builder& build, const rapidjson::Value& v, int depth = 0) {
  PEN_CHECK_AS(checkpoint, depth < 100, "options nested deeper than 100");
  if (v.IsNull()) return build.none();
  if (v.IsBool()) return build.boolean(v.GetBool());
  if (v.IsInt64()) return build.integer(v.GetInt64());
  if (v.IsNumber()) return build.real(v.GetDouble());
  if (v.IsString()) return build.text({v.GetString(), v.GetStringLength()});
  if (v.IsArray()) {
    Value* list = build.list();
    for (const auto& item : v.GetArray()) build.add(list, of_json(build, item, depth + 1));
    return list;
  }
  Value* dict = build.dict();
  for (const auto& m : v.GetObject())
    build.set(dict, {m.name.GetString(), m.name.GetStringLength()}, of_json(build, m.value, depth + 1));
  return dict;
}

class Writer {
 public:
  Writer(const Checkpoint& from, torch::Values& values) : from_(from), build_(values) {}

  Value* run() {
    Value* root = build_.dict();
    if (from_.facts.count("epoch")) build_.set(root, "epoch", build_.integer(from_.integer("epoch")));
    Value *zoo = build_.list(), *parameters = build_.dict();
    for (const auto& [part, state] : from_.parts) {
      if (part.starts_with("zoo.")) continue;
      PEN_CHECK(part != "epoch" && part != "args" && part != "penumbra", "a checkpoint's part is named '", part, "'");
      build_.set(root, part, part.starts_with("optimizer_") ? optimizer(part, state, parameters) : tensors(state));
    }
    for (std::size_t i = 0; from_.has("zoo." + std::to_string(i)); ++i)
      build_.add(zoo, tensors(from_.parts.at("zoo." + std::to_string(i))));
    if (from_.facts.count("args"))
      build_.set(root, "args",
                 of_json(build_, parse_json(from_.fact("args"), from_.path + " (args)", ErrorKind::checkpoint)));
    Value* own = build_.dict();
    Value* facts = build_.dict();
    for (const auto& [key, fact] : from_.facts) build_.set(facts, key, build_.text(fact));
    build_.set(own, "facts", facts);
    build_.set(own, "parameters", parameters);
    build_.set(own, "zoo", zoo);
    build_.set(root, "penumbra", own);
    return root;
  }

 private:
  Value* tensor(const Tensor& given) {
    auto t = std::make_shared<Tensor>(given.to(Device{}));
    return build_.tensor(torch::stored_type(t->dtype()), t->shape(), t->bytes(), t);
  }

  Value* tensors(const StateDict& state) {
    Value* dict = build_.dict(true);
    for (const NamedTensor& t : state) build_.set(dict, t.name, tensor(t.tensor));
    return dict;
  }

  // All parameters of the network beside it, if the optimizer's are among them; else the optimizer's own.
  std::vector<std::string> parameters_of(const std::string& part, const std::vector<std::string>& own) const {
    const auto network = from_.parts.find("state_dict_" + part.substr(part.find('_') + 1));
    if (network == from_.parts.end()) return own;
    std::vector<std::string> all;
    for (const NamedTensor& t : network->second)
      if (!is_buffer_name(t.name)) all.push_back(t.name);
    const std::set<std::string> known(all.begin(), all.end());
    for (const std::string& name : own)
      if (!known.count(name)) return own;
    return all;
  }

  Value* optimizer(const std::string& part, const StateDict& state, Value* all_parameters) {
    std::vector<std::string> own;
    std::unordered_map<std::string, Value*> entries;
    const std::string steps = from_.fact_or(part + "_steps", "0");
    std::int64_t step = 0;
    std::from_chars(steps.data(), steps.data() + steps.size(), step);
    for (const NamedTensor& t : state) {
      const std::size_t dot = t.name.rfind('.');
      PEN_CHECK(dot != std::string::npos, part, ": '", t.name, "' is no <parameter>.<state>");
      const std::string parameter = t.name.substr(0, dot), entry = t.name.substr(dot + 1);
      Value*& dict = entries[parameter];
      if (!dict) {
        own.push_back(parameter);
        dict = build_.dict();
        if (entry == "exp_avg") build_.set(dict, "step", build_.integer(step));  // Adam counts; SGD does not
      }
      build_.set(dict, entry, tensor(t.tensor));
    }
    const std::vector<std::string> parameters = parameters_of(part, own);
    Value *states = build_.dict(), *ids = build_.list(), *names = build_.list();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      Value* id = build_.integer(static_cast<std::int64_t>(i));
      build_.add(ids, id);
      build_.add(names, build_.text(parameters[i]));
      const auto it = entries.find(parameters[i]);
      if (it == entries.end()) continue;
      build_.add(states, id);
      build_.add(states, it->second);
    }
    Value* group = build_.dict();
    if (from_.facts.count(part + "_group")) {
      const auto json = parse_json(from_.fact(part + "_group"), from_.path + " (" + part + ")", ErrorKind::checkpoint);
      PEN_CHECK_AS(checkpoint, json.IsObject(), "'", from_.path, "': ", part, "_group is no object");
      for (const auto& m : json.GetObject()) {
        Value* v = of_json(build_, m.value);
        if (m.name == "betas" && v->is(torch::Kind::list)) v->kind = torch::Kind::tuple;
        build_.set(group, m.name.GetString(), v);
      }
    }
    build_.set(group, "params", ids);
    Value* groups = build_.list();
    build_.add(groups, group);
    Value* out = build_.dict();
    build_.set(out, "state", states);
    build_.set(out, "param_groups", groups);
    build_.set(all_parameters, part, names);
    return out;
  }

  const Checkpoint& from_;
  Builder build_;
};

}  // namespace

Value* value_of(const Checkpoint& checkpoint, torch::Values& values) { return Writer(checkpoint, values).run(); }

void write_torch(const std::string& path, const Checkpoint& checkpoint, torch::Format format) {
  torch::Values values(UINT64_MAX);
  torch::write_file(path, *value_of(checkpoint, values), format);
}

}  // namespace pen
