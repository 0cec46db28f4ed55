#include "train/run_state.h"

#include <charconv>

#include "base/json.h"

namespace pen {
namespace {

// The shortest text that reads back to the same double.
std::string exact(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

double parse_exact(const Checkpoint& from, const std::string& fact) {
  const std::string& text = from.fact(fact);
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  PEN_CHECK_AS(checkpoint, end.ec == std::errc(), "'", from.path, "': ", fact, " is '", text, "', not a number");
  return value;
}

const StateDict& part(const Checkpoint& from, const std::string& name) {
  const auto it = from.parts.find(name);
  PEN_CHECK_AS(checkpoint, it != from.parts.end(), "'", from.path, "' has no ", name, ": a run cannot go on from it");
  return it->second;
}

void restore_optimizer(const Checkpoint& from, const std::string& name, Optimizer& optimizer) {
  const StateDict& saved = part(from, name);
  const StateDict state = optimizer.state();
  PEN_CHECK_AS(checkpoint, saved.size() == state.size(), "'", from.path, "': ", name, " has ", saved.size(),
               " tensors, expected ", state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    PEN_CHECK_AS(checkpoint, saved[i].name == state[i].name && saved[i].tensor.shape() == state[i].tensor.shape(), "'",
                 from.path, "': ", name, ".", saved[i].name, " does not fit ", state[i].name);
    Tensor to = state[i].tensor;
    to.copy_from(saved[i].tensor.to(to.device()));
  }
  optimizer.set_steps(from.integer(name + "_steps"));
  if (!from.facts.count(name + "_group")) return;  // files written before it was kept
  const rapidjson::Document group = parse_json(from.fact(name + "_group"), from.path, ErrorKind::checkpoint);
  PEN_CHECK_AS(checkpoint, group.IsObject() && group.HasMember("lr") && group["lr"].IsNumber(), "'", from.path,
               "': ", name, "_group names no lr");
  optimizer.lr = group["lr"].GetDouble();
}

}  // namespace

void save_run(const RunObjects& o, const RunPosition& p, Checkpoint& into) {
  const auto optimizer = [&](const std::string& name, Optimizer* from) {
    if (!from) return;
    into.parts[name] = from->state();
    into.facts[name + "_steps"] = std::to_string(from->steps());
    into.facts[name + "_group"] = from->group();
  };
  if (o.classifier) into.parts["state_dict_classifier"] = o.classifier->state();
  if (o.masker) into.parts["state_dict_masker"] = o.masker->state();
  if (o.infiller) into.parts["state_dict_infiller"] = o.infiller->state();
  optimizer("optimizer_infiller", o.infiller_optimizer);
  optimizer("optimizer_classifier", o.classifier_optimizer);
  optimizer("optimizer_masker", o.masker_optimizer);
  if (o.zoo) {
    into.facts["zoo_size"] = std::to_string(o.zoo->size());
    for (std::size_t i = 0; i < o.zoo->size(); ++i) into.parts["zoo." + std::to_string(i)] = o.zoo->states()[i];
  }
  into.facts["epoch"] = std::to_string(p.epoch);
  into.facts["data_position"] = std::to_string(p.data_position);
  into.facts["step"] = std::to_string(p.step);
  into.facts["draws"] = std::to_string(p.draws);
  if (p.has_best) into.facts["best"] = exact(p.best);
}

RunPosition restore_run(const Checkpoint& from, const RunObjects& o) {
  if (o.classifier) load_state(*o.classifier, part(from, "state_dict_classifier"), from.path);
  if (o.masker) load_state(*o.masker, part(from, "state_dict_masker"), from.path);
  if (o.infiller) load_state(*o.infiller, part(from, "state_dict_infiller"), from.path);
  if (o.infiller_optimizer) restore_optimizer(from, "optimizer_infiller", *o.infiller_optimizer);
  if (o.classifier_optimizer) restore_optimizer(from, "optimizer_classifier", *o.classifier_optimizer);
  if (o.masker_optimizer) restore_optimizer(from, "optimizer_masker", *o.masker_optimizer);
  if (o.zoo) {
    o.zoo->states().clear();
    for (std::int64_t i = 0; i < from.integer("zoo_size"); ++i) {
      StateDict state = part(from, str("zoo.", i));
      // Where the classifier's own are: a step loads one of them and must not wait for a copy from the CPU. Counters
      // stay on the CPU, as they do in Module::to.
      if (o.classifier)
        for (NamedTensor& t : state)
          if (t.tensor.dtype() != DType::i64) t.tensor = t.tensor.to(o.classifier->device());
      o.zoo->states().push_back(std::move(state));
    }
  }
  RunPosition p;
  p.epoch = from.integer("epoch");
  p.data_position = from.integer("data_position");
  p.step = from.integer("step");
  p.draws = static_cast<std::uint64_t>(from.integer("draws"));
  PEN_CHECK_AS(checkpoint, p.epoch >= 0 && p.data_position >= 0 && p.step >= 0, "'", from.path,
               "' stands at a negative position");
  if (from.facts.count("best")) {
    p.best = parse_exact(from, "best");
    p.has_best = true;
  }
  return p;
}

}  // namespace pen
