#include "train/bench_step.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <utility>

#include "base/process_memory.h"
#include "kernels/kernels.h"
#include "layers/fixed_values.h"
#include "models/frozen_classifier.h"
#include "tensor/autograd.h"
#include "tensor/memory.h"
#include "tensor/ops.h"
#include "tensor/safetensors.h"
#include "train/step.h"
#include "train/step_memory.h"

namespace pen {
namespace {

// The options of configs/fix.json and ca.json that a single step depends on.
TrainOptions step_options(bool ca, double prob_historic, const BenchOptions& options) {
  TrainOptions o;
  o.fixed_classifier = !ca;
  o.fuse = options.fuse;
  o.winograd = options.winograd;
  o.cuda_graph = options.cuda_graph;
  o.precision = options.precision;
  o.prob_historic = prob_historic;
  o.mask_in.criterion = o.mask_out.criterion = "crossentropy";
  o.mask_in.objective_type = "classification";
  o.mask_out.objective_type = "entropy";
  o.mask_in.lambda_r = 1;
  o.mask_out.lambda_r = ca ? 15 : 10;
  o.mask_in.lambda_tv = o.mask_out.lambda_tv = 0.001;
  return o;
}

StepBatch fixed_batch(const BenchOptions& options, std::int64_t number, Classifier& classifier, Device device) {
  const NoGrad no_grad;
  // Labels are the same in every precision.
  const ComputePolicy policy = compute_policy();
  set_compute_policy({.deterministic = policy.deterministic});
  StepBatch batch{fixed_images(str("bench.x", number), options.batch_size, options.input_size,
                               static_cast<std::uint64_t>(options.seed))
                      .to(device),
                  {}};
  batch.labels = ops::argmax(classifier.logits(batch.images));
  set_compute_policy(policy);
  for (std::size_t i = 1; i < batch.labels.size(); i += 2) batch.labels[i] = (batch.labels[i] + 1) % options.classes;
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

struct Inferred {
  Tensor mask, logits;
};

// Mask and logits, in host memory.
Inferred infer(Classifier& classifier, Masker& masker, const StepBatch& batch) {
  const NoGrad no_grad;
  ClassifierOutput out = classifier.forward(batch.images);
  MaskerInput input;
  input.taps = std::move(out.taps);
  input.height = batch.images.size(1);
  input.width = batch.images.size(2);
  const Tensor mask = masker.forward(input);
  return {mask.to(Device{}), out.logits.to(Device{})};
}

void write(const std::string& path, const std::string& name_a, const Tensor& a, const std::string& name_b,
           const Tensor& b) {
  const std::vector<float> first = a.to(DType::f32).to_vector<float>(), second = b.to(DType::f32).to_vector<float>();
  SafetensorsWriter writer;
  writer.add(name_a, "F32", a.shape(), first.data());
  writer.add(name_b, "F32", b.shape(), second.data());
  writer.write(path);
}

// Images a second where each step is queued before the figures of the one before it are read. turn: of the batches,
// from where the steps before left them; ahead: whether steps are told of the next one.
double overlapped(const std::vector<std::unique_ptr<TrainStep>>& steps, const std::vector<StepBatch>& batches,
                  std::size_t turn, bool ahead, std::int64_t rounds, Rng& draws) {
  std::int64_t images = 0;
  std::optional<LateLog> before;
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t round = 0; round < rounds; ++round)
    for (const auto& step : steps) {
      const StepBatch& batch = batches[turn++ % batches.size()];
      images += batch.images.size(0);
      LateLog log = step->queue(batch, 1, draws, ahead ? &batches[turn % batches.size()] : nullptr);
      if (before) before->read();
      before.emplace(std::move(log));
    }
  before->read();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(images) / elapsed.count();
}

}  // namespace

StepBenchmark benchmark_step(const BenchOptions& options, Device device) {
  const MemoryAtStart at_start = memory_at_start(device);
  Rng rng(static_cast<std::uint64_t>(options.seed));
  const auto classifier = make_classifier({options.arch, options.classes, options.width}, rng);
  MaskerOptions masker_options;
  masker_options.tap_widths = classifier->tap_widths();
  masker_options.use_layers.assign(options.masker_use_layers.begin(), options.masker_use_layers.end());
  Masker masker(masker_options, rng);
  set_fixed_state(*classifier, "resnet.", static_cast<std::uint64_t>(options.seed));
  set_fixed_state(masker, "masker.", static_cast<std::uint64_t>(options.seed));
  classifier->to(device);
  masker.to(device);
  StepBenchmark result;
  result.parameters_classifier = count(*classifier);
  result.parameters_masker = count(masker);
  classifier->eval();

  const TrainOptions defaults;
  Sgd sgd(classifier->parameters(), defaults.lr, defaults.momentum, defaults.weight_decay);
  Adam adam(masker.parameters(), defaults.lr_casme, defaults.weight_decay);
  Rng draws(static_cast<std::uint64_t>(options.seed), 1);
  std::vector<std::unique_ptr<TrainStep>> steps;
  // Of a batch and the one that comes after it.
  std::vector<std::function<void(const StepBatch&, const StepBatch&)>> runs;
  const bool ahead = options.looks_ahead(options, device);
  const auto add = [&](const std::string& name, bool ca, double prob_historic) {
    steps.push_back(
        std::make_unique<TrainStep>(step_options(ca, prob_historic, options), *classifier, masker, sgd, adam));
    runs.emplace_back([&step = *steps.back(), &draws, ahead](const StepBatch& batch, const StepBatch& next) {
      step.train(batch, 1, draws, ahead ? &next : nullptr);
    });
    if (steps.size() == 1 && !options.gradient.empty())
      steps.back()->mask_observer = [&options, first = true](const Tensor& mask, const Tensor& gradient) mutable {
        if (std::exchange(first, false)) write(options.gradient, "mask", mask, "gradient", gradient);
      };
    result.kinds.push_back({name, {}});
  };
  std::unique_ptr<Classifier> frozen;
  if (options.mode == "infer") {
    masker.eval();
    if (options.fuse) frozen = freeze(*classifier, {.winograd = options.winograd, .winograd_large = options.winograd});
    Classifier& judge = frozen ? *frozen : *classifier;
    runs.emplace_back([&, first = !options.gradient.empty()](const StepBatch& batch, const StepBatch&) mutable {
      const Inferred seen = infer(judge, masker, batch);
      if (std::exchange(first, false)) write(options.gradient, "mask", seen.mask, "logits", seen.logits);
    });
    result.kinds.push_back({"forward", {}});
  } else if (options.mode == "ca") {
    add("update", true, 0);
    add("skip", true, 1);
  } else {
    add("step", false, 0);
  }

  result.clean_ahead = ahead && options.mode == "fix" && steps.front()->reads_next();
  try {
    // In a thread of its own: the packed copies that kernels keep of these layers' weights go with it, and no step of a
    // frozen classifier uses them.
    std::vector<StepBatch> batches;
    std::async(std::launch::async, [&] {
      // Labels are the same in all precisions, so that their gradients are those of one loss.
      const DType inside = classifier->inside();
      classifier->set_inside(DType::f32);
      for (std::int64_t i = 0; i < bench_input_sets; ++i)
        batches.push_back(fixed_batch(options, i, *classifier, device));
      classifier->set_inside(inside);
    }).get();
    result.labels = batches.front().labels;
    release_cached_memory(device);
    reset_peak_memory(device);
    reset_peak_resident();
    std::size_t turn = 0;
    for (std::int64_t round = -options.warmup; round < options.steps; ++round) {
      for (std::size_t k = 0; k < runs.size(); ++k) {
        const StepBatch& batch = batches[turn++ % batches.size()];
        const auto start = std::chrono::steady_clock::now();
        runs[k](batch, batches[turn % batches.size()]);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        if (round >= 0) result.kinds[k].seconds.push_back(elapsed.count());
      }
    }
    if (device.is_cuda() && !steps.empty())
      result.overlapped_images_per_s = overlapped(steps, batches, turn, ahead, options.steps, draws);
  } catch (const OutOfMemory& error) {
    release_cached_memory(device);
    const auto inputs = static_cast<std::uint64_t>(bench_input_sets * options.input_size * options.input_size * 3);
    auto memory =
        measure_step_memory(options.input_size, device, at_start, 0, [&](const StepBatch& batch, std::int64_t) {
          runs.front()(batch, result.clean_ahead ? StepBatch{batch.images.clone(), batch.labels} : batch);
        });
    if (memory) memory->per_image += inputs * sizeof(float);
    fail_out_of_memory(error, memory, options.batch_size, {});
  }
  for (StepBenchmark::Kind& kind : result.kinds) {
    summarise(kind);
    result.median_s += kind.median_s / static_cast<double>(result.kinds.size());
  }
  result.images_per_s = static_cast<double>(options.batch_size) / result.median_s;
  if (options.cuda_graph) result.recorded = kernels::device::recording_counts(device);
  result.peak_tensor_bytes = static_cast<std::int64_t>(memory_stats(device).peak);
  result.peak_bytes = result.peak_tensor_bytes;
  if (!device.is_cuda()) result.peak_bytes = peak_resident_bytes();
  return result;
}

}  // namespace pen
