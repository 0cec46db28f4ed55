#include "train/bench_step.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "models/frozen_classifier.h"
#include "tensor/memory.h"
#include "train/step.h"
#include "train/step_memory.h"

namespace pen {
namespace {

// The options of configs/fix.json and ca.json that a single step depends on.
TrainOptions step_options(bool ca, double prob_historic, bool fuse) {
  TrainOptions o;
  o.fixed_classifier = !ca;
  o.fuse = fuse;
  o.prob_historic = prob_historic;
  o.mask_in.criterion = o.mask_out.criterion = "crossentropy";
  o.mask_in.objective_type = "classification";
  o.mask_out.objective_type = "entropy";
  o.mask_in.lambda_r = 1;
  o.mask_out.lambda_r = ca ? 15 : 10;
  o.mask_in.lambda_tv = o.mask_out.lambda_tv = 0.001;
  return o;
}

StepBatch random_batch(const BenchOptions& options, std::int64_t number, Device device) {
  Rng rng(static_cast<std::uint64_t>(options.seed), static_cast<std::uint64_t>(100 + number));
  const Shape shape{options.batch_size, options.input_size, options.input_size, 3};
  std::vector<float> values(static_cast<std::size_t>(numel_of(shape)));
  for (float& v : values) v = static_cast<float>(rng.normal());
  StepBatch batch{Tensor::from(values, shape, device), {}};
  for (std::int64_t i = 0; i < options.batch_size; ++i)
    batch.labels.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(options.classes))));
  return batch;
}

std::int64_t count(const Module& module) {
  std::int64_t n = 0;
  for (const NamedTensor& t : module.parameters()) n += t.tensor.numel();
  return n;
}

void summarise(StepBenchmark::Kind& kind) {
  std::vector<double> sorted = kind.seconds;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  kind.median_s = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
  kind.min_s = sorted.front();
  kind.max_s = sorted.back();
}

void infer(Classifier& classifier, Masker& masker, const StepBatch& batch) {
  const NoGrad no_grad;
  ClassifierOutput out = classifier.forward(batch.images);
  MaskerInput input;
  input.taps = std::move(out.taps);
  input.height = batch.images.size(1);
  input.width = batch.images.size(2);
  masker.forward(input).to_vector<float>();
  out.logits.to_vector<float>();
}

}  // namespace

StepBenchmark benchmark_step(const BenchOptions& options, Device device) {
  reset_peak_memory(device);
  const MemoryAtStart at_start = memory_at_start(device);
  Rng rng(static_cast<std::uint64_t>(options.seed));
  const auto classifier = make_classifier({options.arch, options.classes, options.width}, rng);
  MaskerOptions masker_options;
  masker_options.tap_widths = classifier->tap_widths();
  masker_options.use_layers.assign(options.masker_use_layers.begin(), options.masker_use_layers.end());
  Masker masker(masker_options, rng);
  classifier->to(device);
  masker.to(device);
  StepBenchmark result;
  result.parameters_classifier = count(*classifier);
  result.parameters_masker = count(masker);

  const TrainOptions defaults;
  Sgd sgd(classifier->parameters(), defaults.lr, defaults.momentum, defaults.weight_decay);
  Adam adam(masker.parameters(), defaults.lr_casme, defaults.weight_decay);
  Rng draws(static_cast<std::uint64_t>(options.seed), 1);
  std::vector<std::unique_ptr<TrainStep>> steps;
  std::vector<std::function<void(const StepBatch&)>> runs;
  const auto add = [&](const std::string& name, bool ca, double prob_historic) {
    steps.push_back(
        std::make_unique<TrainStep>(step_options(ca, prob_historic, options.fuse), *classifier, masker, sgd, adam));
    runs.emplace_back([&step = *steps.back(), &draws](const StepBatch& batch) { step.train(batch, 1, draws); });
    result.kinds.push_back({name, {}});
  };
  std::unique_ptr<Classifier> frozen;
  if (options.mode == "infer") {
    classifier->eval();
    masker.eval();
    if (options.fuse) frozen = freeze(*classifier);
    Classifier& judge = frozen ? *frozen : *classifier;
    runs.emplace_back([&](const StepBatch& batch) { infer(judge, masker, batch); });
    result.kinds.push_back({"forward", {}});
  } else if (options.mode == "ca") {
    add("update", true, 0);
    add("skip", true, 1);
  } else {
    add("step", false, 0);
  }

  try {
    std::vector<StepBatch> batches;
    for (std::int64_t i = 0; i < bench_input_sets; ++i) batches.push_back(random_batch(options, i, device));
    std::size_t turn = 0;
    for (std::int64_t round = -options.warmup; round < options.steps; ++round) {
      for (std::size_t k = 0; k < runs.size(); ++k) {
        const StepBatch& batch = batches[turn++ % batches.size()];
        const auto start = std::chrono::steady_clock::now();
        runs[k](batch);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        if (round >= 0) result.kinds[k].seconds.push_back(elapsed.count());
      }
    }
  } catch (const OutOfMemory& error) {
    release_cached_memory(device);
    const auto inputs = static_cast<std::uint64_t>(bench_input_sets * options.input_size * options.input_size * 3);
    auto memory = measure_step_memory(options.input_size, device, at_start, 0,
                                      [&](const StepBatch& batch, std::int64_t) { runs.front()(batch); });
    if (memory) memory->per_image += inputs * sizeof(float);
    fail_out_of_memory(error, memory, options.batch_size, {});
  }
  for (StepBenchmark::Kind& kind : result.kinds) {
    summarise(kind);
    result.median_s += kind.median_s / static_cast<double>(result.kinds.size());
  }
  result.images_per_s = static_cast<double>(options.batch_size) / result.median_s;
  result.peak_tensor_bytes = static_cast<std::int64_t>(memory_stats(device).peak);
  result.peak_bytes = result.peak_tensor_bytes;
  if (!device.is_cuda()) {
    rusage used{};
    PEN_CHECK(getrusage(RUSAGE_SELF, &used) == 0, "bench step: the system does not say how much memory was used");
    result.peak_bytes = std::int64_t{used.ru_maxrss} * 1024;
  }
  return result;
}

}  // namespace pen
