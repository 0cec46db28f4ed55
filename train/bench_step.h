// How fast and how large a training step, or inference with a masker, is: the measurement behind `bench step`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/types.h"
#include "train/bench_options.h"

namespace pen {

struct StepBenchmark {
  // One kind of step, each time measured from a batch on the device to the updated weights (infer: to masks and logits
  // in host memory).
  struct Kind {
    std::string name;
    std::vector<double> seconds;
    double median_s = 0, min_s = 0, max_s = 0;
  };
  // fix: "step". infer: "forward". ca: "update", a step in which the classifier also learns from the masked images, and
  // "skip", one in which it does not; with the published prob_historic 0.5 they are equally frequent.
  std::vector<Kind> kinds;
  double median_s = 0;      // mean over the kinds' medians: for ca the time of an average step
  double images_per_s = 0;  // batch size / median_s
  // A GPU's training steps as a run takes them: the next one is queued before the figures of the last are read.
  // options.steps of each kind, in turn; 0 where there is no such measurement.
  double overlapped_images_per_s = 0;
  kernels::RecordingCounts recorded;   // with cuda_graph: of all steps
  std::int64_t peak_bytes = 0;         // CPU: largest resident memory during the steps; GPU: of tensors on it
  std::int64_t peak_tensor_bytes = 0;  // largest sum of live tensors on the device
  bool clean_ahead = false;            // fix: each step made the clean pass of the next
  std::int64_t parameters_classifier = 0, parameters_masker = 0;
  std::vector<std::int64_t> labels;  // of the first batch
};

// Networks and images with fixed values (layers/fixed_values.h: "resnet.", "masker.", "bench.x0", ...), which
// bench/pytorch computes too; options of configs/fix.json or ca.json; `bench_input_sets` batches that take turns, so
// that no step sees what the last one left in the caches. Labels are what the classifier (in evaluation mode, float32)
// says of every other image, and the class after it for the others. options.warmup steps of each kind come first, then
// options.steps of each are timed, the kinds in turn. options.gradient names a file for the first step's mask and the
// gradient of the masker's loss with respect to it (infer: mask and logits), as safetensors: coarse with options.fuse,
// as TrainStep::mask_observer says.
StepBenchmark benchmark_step(const BenchOptions& options, Device device);

inline constexpr std::int64_t bench_input_sets = 3;

}  // namespace pen
