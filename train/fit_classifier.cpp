#include "train/fit_classifier.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "base/json.h"
#include "base/log.h"
#include "base/parallel.h"
#include "tensor/ops.h"
#include "train/plan.h"
#include "train/runner.h"
#include "train/step_memory.h"

namespace pen {
namespace {

enum Stream : std::uint64_t { draws_stream = 11, classifier_stream = 12 };

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [key, value] : figures)
    if (key == name) return value;
  return std::nan("");
}

void log_results(const Tensor& loss, const Tensor& logits, const StepBatch& batch, LateLog& log) {
  log.add_sum("loss", {loss.detach()});
  log.add("acc", {ops::argmax_ids(logits.detach())}, [labels = batch.labels](const LateLog::Elements& e) {
    return accuracy({e[0].begin(), e[0].end()}, labels);
  });
}

LateLog fit_step(Classifier& classifier, Optimizer& optimizer, const StepBatch& batch, const FitOptions& o) {
  classifier.train();
  optimizer.zero_grad();
  const Tensor logits = classifier.logits(batch.images);
  const Tensor loss = ops::mean(ops::cross_entropy(logits, label_ids(batch, classifier.classes()), o.label_smoothing));
  const bool half = classifier.inside() == DType::f16;
  const double scale = half ? o.loss_scale : 1;
  backward_scaled(loss, scale);
  LateLog log(batch.images.device());
  Tensor control = update_control({loss.detach()});
  if (half) {
    log.add("overflow", {require_finite(gradients_of(optimizer.parameters()), control)},
            [](const LateLog::Elements& e) { return std::isfinite(e[0][0]) ? 0.0 : 1.0; });
    control = rescaled(control, 1 / scale);
  }
  optimizer.step(control);
  log_results(loss, logits, batch, log);
  log.add("lr", optimizer.lr);
  log.send();
  return log;
}

Figures validation_step(Classifier& classifier, const StepBatch& batch) {
  NoGrad no_grad;
  classifier.eval();
  const Tensor logits = classifier.logits(batch.images);
  LateLog log(batch.images.device());
  log_results(ops::mean(ops::cross_entropy(logits, label_ids(batch, classifier.classes()))), logits, batch, log);
  log.send();
  return log.read();
}

// The classifier alone, as plain weights with the facts that rebuild it.
void write_plain(const std::string& from, const std::string& to) {
  const Checkpoint best = read_checkpoint(from);
  Checkpoint plain;
  for (const char* fact : {"arch", "width", "classes", "input_size", "class_names"})
    if (best.facts.count(fact)) plain.facts[fact] = best.facts.at(fact);
  plain.parts["state_dict_classifier"] = best.parts.at("state_dict_classifier");
  write_checkpoint(to, plain);
}

// What a step takes, found on a network that is of no further use.
std::optional<StepMemory> rehearse(const FitOptions& o,
                                   const std::function<std::unique_ptr<Classifier>()>& open_network, Device device) {
  const MemoryAtStart start = memory_at_start(device);
  const std::int64_t held = (LoaderOptions().prefetch + 1) * o.input_size * o.input_size * 3;
  std::optional<StepMemory> memory;
  {
    const std::unique_ptr<Classifier> network = open_network();
    Sgd optimizer(network->parameters(), o.lr, o.momentum, o.weight_decay);
    memory = measure_step_memory(
        o.input_size, device, start, static_cast<std::uint64_t>(held) * sizeof(float),
        [&](const StepBatch& batch, std::int64_t) { fit_step(*network, optimizer, batch, o).read(); });
  }
  release_cached_memory(device);
  return memory;
}

}  // namespace

double scheduled_rate(const FitOptions& o, std::int64_t step, std::int64_t steps_per_epoch) {
  const double all = static_cast<double>(o.epochs * steps_per_epoch), at = static_cast<double>(step);
  const double warm = o.warmup_epochs * static_cast<double>(steps_per_epoch);
  if (at < warm) return o.lr * (at + 1) / warm;
  if (o.schedule == "step") return decayed(o.lr, step / std::max<std::int64_t>(steps_per_epoch, 1), o.lrde);
  const double share = all > warm ? (at - warm) / (all - warm) : 1.0;
  return 0.5 * o.lr * (1 + std::cos(std::numbers::pi * std::min(share, 1.0)));
}

RunEnd fit_classifier(const FitOptions& o, const std::string& folder) {
  set_threads(static_cast<int>(o.threads));
  const Device device = parse_device(o.device);
  const Metadata list = Metadata::read(o.train_json);
  const std::string weights =
      !o.resume ? o.resnet_path : (folder.empty() ? o.output_path + "/" + o.name : folder) + "/last.chk";
  const auto open_network = [&] {
    std::unique_ptr<Classifier> network;
    if (weights.empty()) {
      Rng init(static_cast<std::uint64_t>(o.seed), classifier_stream);
      network = make_classifier({o.arch, list.class_count(), o.width}, init);
    } else {
      network = load_classifier(read_checkpoint(weights));
      PEN_CHECK_AS(data, network->classes() == list.class_count(), "'", o.train_json, "' has ", list.class_count(),
                   " classes, '", weights, "' ", network->classes());
    }
    network->to(device);
    network->set_inside(compute_policy().frozen);
    return network;
  };
  const std::optional<StepMemory> memory = rehearse(o, open_network, device);
  const std::unique_ptr<Classifier> classifier = open_network();
  const double width = weights.empty() ? o.width : width_factor(*classifier);
  Sgd optimizer(classifier->parameters(), o.lr, o.momentum, o.weight_decay);

  LoaderOptions l;
  apply(o, static_cast<int>(o.input_size), l);
  l.parts = device.is_cuda();
  l.batch_size = static_cast<int>(o.batch_size);
  l.workers = static_cast<int>(o.workers);
  l.shuffle = true;
  l.seed = static_cast<std::uint64_t>(o.seed);
  l.bad_files = BadFiles::skip;
  l.max_bad_share = o.max_bad_share;
  const LimitedSource source(list, o.limit);
  Transform crops = Transform::train(static_cast<int>(o.input_size));
  crops.min_area = o.min_crop_area;
  Loader train(source, crops, l);
  Metadata val_list;
  std::unique_ptr<LimitedSource> val_source;
  std::unique_ptr<Loader> val;
  if (!o.val_json.empty()) {
    val_list = Metadata::read(o.val_json);
    PEN_CHECK_AS(data, val_list.classes() == list.classes(), "'", o.val_json, "' has other classes than '",
                 o.train_json, "'");
    val_source = std::make_unique<LimitedSource>(val_list, o.limit);
    l.shuffle = false;
    l.bad_files = BadFiles::fail;
    val = std::make_unique<Loader>(*val_source, Transform::val(static_cast<int>(o.input_size)), l);
  }

  SessionOptions s;
  s.folder = folder;
  s.resume = o.resume;
  s.epochs = o.epochs;
  s.batch_size = o.batch_size;
  s.least_batch = least_batch(*classifier, o.input_size, {});
  s.json = o.json;
  s.max_steps = o.max_steps;
  s.save_every_epochs = o.actual_save_freq;
  s.save_every_steps = o.checkpoint_steps;
  s.overfit_one_batch = o.overfit_one_batch;
  s.classes = classifier->classes();
  s.device = device;
  std::int64_t parameters = 0;
  for (const NamedTensor& t : classifier->parameters()) parameters += t.tensor.numel();
  log::info(
      fmt::format("fit {} ({:.2f} M parameters, {} classes) on {} images of {}x{}, {} epochs of {} steps of {} | {}",
                  classifier->arch(), static_cast<double>(parameters) * 1e-6, classifier->classes(), source.size(),
                  o.input_size, o.input_size, o.epochs, train.batches_per_epoch(), o.batch_size, name_of(device)));
  if (memory) announce_memory(*memory, o.batch_size);

  if (o.dry_run) {
    log_plan(
        {o.batch_size, o.input_size, o.epochs * train.batches_per_epoch(), device, static_cast<std::uint64_t>(o.seed)},
        [&](const StepBatch& batch, std::int64_t, Rng&) { fit_step(*classifier, optimizer, batch, o).read(); });
    return RunEnd::finished;
  }

  SessionHooks hooks;
  hooks.best_by = "loss";
  const std::int64_t per_epoch = train.batches_per_epoch();
  hooks.train = [&](const StepBatch& batch, const StepBatch*, std::int64_t, std::int64_t step, Rng&) {
    optimizer.lr = scheduled_rate(o, step, per_epoch);
    return fit_step(*classifier, optimizer, batch, o);
  };
  if (val) {
    hooks.validate = [&](const StepBatch& batch, Rng&) { return validation_step(*classifier, batch); };
    hooks.best_by = "acc";
    hooks.higher_is_better = true;
  }
  hooks.line = [&](const Figures& f) {
    return fmt::format("loss {:.3f} | acc {:.1f}", figure(f, "loss"), figure(f, "acc"));
  };
  hooks.describe = [&](Checkpoint& c) {
    describe_classifier(*classifier, width, o.input_size, c);
    c.facts["args"] = to_json(fit_options(), &o, false);
    JsonWriter names;
    c.facts["class_names"] = names.value(list.classes()).text();
  };
  Session session(s, hooks, {classifier.get(), nullptr, &optimizer, nullptr, nullptr}, train, val.get(),
                  Rng(static_cast<std::uint64_t>(o.seed), draws_stream));
  RunEnd end = RunEnd::finished;
  try {
    end = session.run();
  } catch (const OutOfMemory& error) {
    fail_out_of_memory(error, memory, o.batch_size, folder + "/last.chk");
  }
  if (end == RunEnd::finished && std::filesystem::exists(folder + "/best.chk")) {
    write_plain(folder + "/best.chk", folder + "/classifier.safetensors");
    log::info("wrote " + folder + "/classifier.safetensors");
  }
  return end;
}

}  // namespace pen
