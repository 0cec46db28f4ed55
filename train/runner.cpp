#include "train/runner.h"

#include <fmt/format.h>

#include <cmath>

#include "base/json.h"
#include "base/log.h"
#include "base/parallel.h"
#include "train/plan.h"
#include "train/step_memory.h"

namespace pen {
namespace {

// Streams of the run's seed, one for each purpose.
enum Stream : std::uint64_t { draws_stream = 1, masker_stream = 3 };

MaskerOptions masker_options(const TrainOptions& o, const Classifier& classifier, bool speak) {
  MaskerOptions m;
  m.tap_widths = classifier.tap_widths();
  m.use_layers.assign(o.masker_use_layers.begin(), o.masker_use_layers.end());
  const std::vector<std::int64_t> every_tap = TrainOptions().masker_use_layers;
  if (o.masker_use_layers == every_tap && m.tap_widths.size() < every_tap.size()) {
    // The default stands for all taps, however many there are.
    m.use_layers.resize(m.tap_widths.size());
    if (speak) log::info(str(classifier.arch(), " has ", m.tap_widths.size(), " taps: the masker uses all of them"));
  }
  m.bilinear = o.upsample == "bilinear";
  m.add_prob_layers = o.add_prob_layers;
  m.add_class_ids = o.add_class_ids;
  m.classes = classifier.classes();
  m.apply_gumbel = o.apply_gumbel;
  m.gumbel_tau = o.apply_gumbel_tau;
  m.gumbel_mode = parse_gumbel_mode(o.gumbel_output_mode);
  return m;
}

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [key, value] : figures)
    if (key == name) return value;
  return std::nan("");
}

std::string step_line(const Figures& f, double lr) {
  return fmt::format(
      "cls {:.3f} in {:.3f} out {:.3f} loss {:.3f} | mask {:.3f} | acc {:.0f} in {:.0f} out {:.0f} | lr {:.1e}",
      figure(f, "classifier_loss"), figure(f, "masked_in___classifier_loss"), figure(f, "masked_out___classifier_loss"),
      figure(f, "masked_total___loss"), figure(f, "mask_avg"), figure(f, "acc"), figure(f, "masked_in___acc"),
      figure(f, "masked_out___acc"), lr);
}

std::int64_t count(const Module& module) {
  std::int64_t n = 0;
  for (const NamedTensor& t : module.parameters()) n += t.tensor.numel();
  return n;
}

std::string weights_of(const TrainOptions& o, const std::string& folder) {
  return o.resume ? folder + "/last.chk" : o.resnet_path;
}

// Everything that a run is made of, built from its options.
struct Networks {
  std::unique_ptr<Classifier> classifier;
  std::unique_ptr<Masker> masker;
  std::unique_ptr<Sgd> classifier_optimizer;
  std::unique_ptr<Adam> masker_optimizer;
  std::unique_ptr<Infiller> infiller;        // null without infilling
  std::unique_ptr<Adam> infiller_optimizer;  // null unless it is trained
  Metadata train_list;
  std::vector<std::string> names;
  std::int64_t input_size = 0;
  double width = 1;
};

// weights: the classifier's file, or the checkpoint of a run that goes on. speak: whether oddities are told.
Networks build(const TrainOptions& o, const std::string& weights, Device device, bool speak = true) {
  Networks n;
  n.train_list = Metadata::read(o.train_json);
  n.names = n.train_list.classes();
  Rng masker_rng(static_cast<std::uint64_t>(o.seed), masker_stream);
  const Checkpoint file = read_checkpoint(weights);
  n.classifier = load_classifier(file, o.arch);
  n.width = width_factor(*n.classifier);
  n.input_size = o.input_size ? o.input_size : input_size(file);
  if (speak && file.facts.count("input_size") && input_size(file) != n.input_size)
    log::warn(str("the classifier of '", weights, "' was trained on images of side ", input_size(file),
                  ", --input_size is ", o.input_size));
  const std::vector<std::string> known = class_names(file);
  PEN_CHECK_AS(data, n.classifier->classes() >= n.train_list.class_count(), "'", o.train_json, "' has ",
               n.train_list.class_count(), " classes, the classifier of '", weights, "' has ", n.classifier->classes());
  PEN_CHECK_AS(data, known.empty() || known == n.names, "'", o.train_json,
               "' has other class names than the classifier of '", weights, "' was trained with");
  n.classifier->to(device);
  n.masker = std::make_unique<Masker>(masker_options(o, *n.classifier, speak), masker_rng);
  n.masker->to(device);
  n.classifier_optimizer = std::make_unique<Sgd>(n.classifier->parameters(), o.lr, o.momentum, o.weight_decay);
  n.masker_optimizer = std::make_unique<Adam>(n.masker->parameters(), o.lr_casme, o.weight_decay);
  if (o.do_infill_for_mask_in || o.do_infill_for_mask_out) {
    n.infiller = make_infiller({o.infiller_model, o.infiller_path, o.infiller_protocol == "strict",
                                static_cast<std::uint64_t>(o.seed), o.train_infiller});
    n.infiller->to(device);
    if (o.train_infiller) n.infiller_optimizer = std::make_unique<Adam>(n.infiller->parameters(), o.lr_infiller, 0.0);
  }
  return n;
}

void connect(const Networks& n, TrainStep& step) {
  if (n.infiller) step.use_infiller(*n.infiller, n.infiller_optimizer.get());
}

void announce(const TrainOptions& o, const Networks& n, std::int64_t images, std::int64_t steps) {
  log::info(fmt::format(
      "{} | {} ({:.1f} M parameters, {} classes) | masker on taps {} ({:.2f} M) | {} images of {}x{} | "
      "{} epochs of {} steps of {} | {}",
      o.fixed_classifier ? "FIX" : "CA", n.classifier->arch(), static_cast<double>(count(*n.classifier)) * 1e-6,
      n.classifier->classes(), fmt::join(o.masker_use_layers, ","), static_cast<double>(count(*n.masker)) * 1e-6,
      images, n.input_size, n.input_size, o.epochs, steps, o.batch_size, name_of(n.masker->device())));
}

// Whether a step is given the next batch, too.
bool hands_next(const TrainOptions& o, Device device, TrainStep& step) {
  return o.looks_ahead(o, device) && !o.overfit_one_batch && step.reads_next();
}

// Bytes of one decoded image in the loader: a batch in use (with `hands_next` two), and those read ahead.
std::uint64_t host_bytes(std::int64_t size, bool hands_next) {
  return static_cast<std::uint64_t>((LoaderOptions().prefetch + 1 + hands_next) * size * size * 3) * sizeof(float);
}

// What a step takes, found on networks of its own, so that the run's stay as they are.
std::optional<StepMemory> rehearse(const TrainOptions& o, const std::string& weights, Device device) {
  const MemoryAtStart start = memory_at_start(device);
  std::optional<StepMemory> memory;
  {
    Networks n = build(o, weights, device, false);
    // Of CA both kinds of step, with and without an update of the classifier.
    TrainOptions update = o, skip = o;
    update.prob_historic = 0;
    skip.prob_historic = 1;
    std::vector<std::unique_ptr<TrainStep>> steps;
    for (const TrainOptions* how : {&update, &skip}) {
      if (o.fixed_classifier && !steps.empty()) break;
      steps.push_back(
          std::make_unique<TrainStep>(*how, *n.classifier, *n.masker, *n.classifier_optimizer, *n.masker_optimizer));
      connect(n, *steps.back());
    }
    Rng draws(static_cast<std::uint64_t>(o.seed), draws_stream);
    memory = measure_step_memory(n.input_size, device, start, host_bytes(n.input_size, o.looks_ahead(o, device)),
                                 [&](const StepBatch& batch, std::int64_t number) {
                                   std::optional<StepBatch> next;
                                   if (hands_next(o, device, *steps.front()))
                                     next = {batch.images.clone(), batch.labels};
                                   for (const auto& step : steps)
                                     step->train(batch, number, draws, next ? &*next : nullptr);
                                 });
    if (memory && o.zoo_mode == "historic" && !o.fixed_classifier) {
      // What the run will hold besides, sooner or later: earlier states and their frozen forms.
      const std::int64_t each = bytes_of(n.classifier->state()), states = o.f_size * each;
      const std::int64_t forms = o.fuse ? std::min(states, PastClassifierOptions().most_bytes) : 0;
      const auto later = static_cast<std::uint64_t>(states + forms);
      memory->fixed += later;
      memory->least += later;
    }
  }
  release_cached_memory(device);
  return memory;
}

// `reading` says how images are read; of it the rest is set here.
LoaderOptions loader_options(const TrainOptions& o, const LoaderOptions& reading, bool training) {
  LoaderOptions l = reading;
  l.batch_size = static_cast<int>(o.batch_size);
  l.workers = static_cast<int>(o.workers);
  l.shuffle = training;
  l.seed = static_cast<std::uint64_t>(o.seed);
  l.bad_files = training ? BadFiles::skip : BadFiles::fail;
  l.max_bad_share = o.max_bad_share;
  return l;
}

}  // namespace

std::int64_t batches_per_epoch(std::int64_t batches, double fraction) {
  return std::min(batches, static_cast<std::int64_t>(std::floor(fraction * static_cast<double>(batches))) + 1);
}

double decayed(double lr, std::int64_t epoch, std::int64_t lrde) {
  if (lrde == 0) return lr;
  return lr * std::pow(0.1, static_cast<double>(epoch / lrde));
}

RunEnd train_masker(const TrainOptions& o, const std::string& folder) {
  set_threads(static_cast<int>(o.threads));
  const Device device = parse_device(o.device);
  const std::optional<StepMemory> memory = rehearse(o, weights_of(o, folder), device);
  Networks n = build(o, weights_of(o, folder), device);
  TrainStep step(o, *n.classifier, *n.masker, *n.classifier_optimizer, *n.masker_optimizer);
  connect(n, step);

  const LimitedSource train_source(n.train_list, o.limit);
  Transform crops = Transform::train(static_cast<int>(n.input_size));
  crops.min_area = o.min_crop_area;
  LoaderOptions reading;
  apply(o, static_cast<int>(n.input_size), reading);
  reading.parts = device.is_cuda();
  Loader train(train_source, crops, loader_options(o, reading, true));
  Metadata val_list;
  std::unique_ptr<LimitedSource> val_source;
  std::unique_ptr<Loader> val;
  if (o.do_val) {
    val_list = Metadata::read(o.val_json);
    PEN_CHECK_AS(data, val_list.classes() == n.names, "'", o.val_json, "' has other classes than '", o.train_json, "'");
    val_source = std::make_unique<LimitedSource>(val_list, o.limit);
    val = std::make_unique<Loader>(*val_source, Transform::val(static_cast<int>(n.input_size)),
                                   loader_options(o, reading, false));
  }

  SessionOptions s;
  s.folder = folder;
  s.resume = o.resume;
  s.epochs = o.epochs;
  s.batch_size = o.batch_size;
  // A fixed classifier trains no norms: those of the masker are left, on the taps that it uses.
  s.least_batch = least_batch(*n.classifier, n.input_size,
                              o.fixed_classifier ? n.masker->options().use_layers : std::vector<int>{});
  s.json = o.json;
  s.batches_per_epoch = batches_per_epoch(train.batches_per_epoch(), o.perc_of_training);
  s.max_steps = o.max_steps;
  s.save_every_epochs = o.actual_save_freq;
  s.save_every_steps = o.checkpoint_steps;
  s.overfit_one_batch = o.overfit_one_batch;
  s.hand_next = hands_next(o, device, step);
  s.classes = n.classifier->classes();
  s.device = device;
  announce(o, n, train_source.size(), s.batches_per_epoch);
  if (memory) announce_memory(*memory, o.batch_size);

  SessionHooks hooks;
  hooks.train = [&](const StepBatch& batch, const StepBatch* next, std::int64_t epoch, std::int64_t number,
                    Rng& draws) {
    n.classifier_optimizer->lr = decayed(o.lr, epoch, o.lrde);
    n.masker_optimizer->lr = decayed(o.lr_casme, epoch, o.lrde);
    if (n.infiller_optimizer) n.infiller_optimizer->lr = decayed(o.lr_infiller, epoch, o.lrde);
    return step.queue(batch, number, draws, next);
  };
  if (val) hooks.validate = [&](const StepBatch& batch, Rng& draws) { return step.validate(batch, draws); };
  hooks.line = [&](const Figures& f) { return step_line(f, n.masker_optimizer->lr); };
  hooks.describe = [&](Checkpoint& c) {
    describe_classifier(*n.classifier, n.width, n.input_size, c);
    describe_masker(n.masker->options(), c);
    c.facts["args"] = to_json(train_options(), &o, false);
    JsonWriter names;
    c.facts["class_names"] = names.value(n.names).text();
  };
  Session session(s, hooks,
                  {n.classifier.get(), n.masker.get(), o.fixed_classifier ? nullptr : n.classifier_optimizer.get(),
                   n.masker_optimizer.get(), n.infiller_optimizer ? n.infiller.get() : nullptr,
                   n.infiller_optimizer.get(), &step.zoo()},
                  train, val.get(), Rng(static_cast<std::uint64_t>(o.seed), draws_stream));
  try {
    return session.run();
  } catch (const OutOfMemory& error) {
    fail_out_of_memory(error, memory, o.batch_size, folder + "/last.chk");
  }
}

void plan_training(const TrainOptions& o) {
  set_threads(static_cast<int>(o.threads));
  const Device device = parse_device(o.device);
  const std::string weights = weights_of(o, o.output_path + "/" + o.name);
  const std::optional<StepMemory> memory = rehearse(o, weights, device);
  Networks n = build(o, weights, device);
  TrainStep step(o, *n.classifier, *n.masker, *n.classifier_optimizer, *n.masker_optimizer);
  connect(n, step);
  const LimitedSource source(n.train_list, o.limit);
  const std::int64_t batches = (source.size() + o.batch_size - 1) / o.batch_size;
  const std::int64_t steps = batches_per_epoch(batches, o.perc_of_training);
  announce(o, n, source.size(), steps);
  if (memory) announce_memory(*memory, o.batch_size);
  const bool ahead = hands_next(o, device, step);
  std::optional<StepBatch> other;
  log_plan({o.batch_size, n.input_size, steps * o.epochs, device, static_cast<std::uint64_t>(o.seed)},
           [&](const StepBatch& batch, std::int64_t i, Rng& draws) {
             if (!ahead) {
               step.train(batch, i, draws);
               return;
             }
             // Two batches in turn, so that each step finds what the one before made for it.
             if (!other) other = {batch.images.clone(), batch.labels};
             const StepBatch &now = i % 2 ? *other : batch, &next = i % 2 ? batch : *other;
             step.train(now, i, draws, &next);
           });
}

}  // namespace pen
