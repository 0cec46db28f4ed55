// How fast single kernels are, at the sizes they have in a network, against what the machine can do at most: the
// measurement behind `bench kernels`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/types.h"
#include "tensor/tensor.h"
#include "train/bench_options.h"
#include "train/network_shapes.h"

namespace pen {

// What kernels are held against, measured in the same run.
struct Ceilings {
  double triad_bytes_per_s = 0;  // y = a x1 + b x2 over arrays far beyond the caches (McCalpin's STREAM)
  double gemm_flops_per_s = 0;   // a large square matrix product of the library
  double fma_flops_per_s = 0;    // multiplications with additions on registers alone; 0 where it is not measured (GPUs)
};

struct KernelFigure {
  std::string kernel, shape;
  int count = 0;  // how often a pass through the network has it
  double flops = 0,
         bytes = 0;  // of one call: arithmetic, and least traffic (each input read, each output written once)
  double median_s = 0, min_s = 0, max_s = 0;
  double flops_per_s() const { return flops / median_s; }
  double bytes_per_s() const { return bytes / median_s; }
};

struct KernelBenchmark {
  Ceilings ceilings;
  std::vector<KernelFigure> figures;
};

// Each kernel of the classifier at its sizes for options.batch_size images, with inputs that take turns and are never
// zero. options.warmup calls, then options.steps timed ones. options.only: kernels whose name contains it; none left is
// a usage error.
KernelBenchmark benchmark_kernels(const BenchOptions& options, Device device);

// One kernel at one size. call(i) runs it on the i-th set of inputs.
struct KernelCase {
  std::string kernel, shape;
  int count = 1;
  double flops = 0, bytes = 0;
  std::function<void(int)> call;
};

// Memory that the cases share: inputs of several sets, and one output.
class KernelArena {
 public:
  static constexpr int sets = 3;
  KernelArena(Device device, std::int64_t floats);
  const float* x(int set) const { return first_[static_cast<std::size_t>(set % sets)].data<float>(); }
  const float* other(int set) const { return second_[static_cast<std::size_t>(set % sets)].data<float>(); }
  const float* weights() const { return weights_.data<float>(); }
  const float* positive() const { return positive_.data<float>(); }  // variances and the like, in [0.5, 1.5)
  const std::uint8_t* gates() const { return gates_.data<std::uint8_t>(); }
  float* y() { return y_.mutable_data<float>(); }
  float* small(int number) { return small_.mutable_data<float>() + number * small_each; }
  std::uint8_t* bytes() { return bytes_.mutable_data<std::uint8_t>(); }
  Device device() const { return device_; }
  static constexpr std::int64_t weight_floats = std::int64_t{1} << 23, small_each = std::int64_t{1} << 16;

 private:
  Device device_;
  std::vector<Tensor> first_, second_;
  Tensor weights_, positive_, gates_, y_, small_, bytes_;
};

// Floats that the largest activation has.
std::int64_t largest_activation(const NetworkShapes& shapes);
// The arena must outlive the cases. winograd: as in steps, convolutions of 3x3 may run by that algorithm.
std::vector<KernelCase> kernel_cases(const NetworkShapes& shapes, KernelArena& arena, bool winograd);

}  // namespace pen
