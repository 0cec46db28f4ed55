#include "train/bench_kernels.h"

#include <algorithm>
#include <chrono>

#include "kernels/cpu/peak.h"
#include "kernels/kernels.h"
#include "tensor/ops.h"

namespace pen {
namespace {

// Seconds of each of `steps` calls, after `warmup` others.
std::vector<double> time_calls(const std::function<void(int)>& call, std::int64_t warmup, std::int64_t steps,
                               Device device) {
  std::vector<double> seconds;
  for (std::int64_t i = -warmup; i < steps; ++i) {
    if (device.is_cuda()) kernels::device::synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    call(static_cast<int>(i + warmup));
    if (device.is_cuda()) kernels::device::synchronize(device);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (i >= 0) seconds.push_back(elapsed.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

double median(const std::vector<double>& sorted) {
  const std::size_t n = sorted.size();
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

Ceilings measure_ceilings(Device device) {
  Ceilings c;
  const kernels::Context ctx = context(device);
  constexpr std::int64_t warmup = 2, steps = 7;
  {
    constexpr std::int64_t n = std::int64_t{1} << 25;  // 128 MiB each
    const Tensor x1 = Tensor::full({n}, 1.5, DType::f32, device), x2 = Tensor::full({n}, 0.5, DType::f32, device);
    Tensor y = Tensor::empty({n}, DType::f32, device);
    const auto seconds = time_calls(
        [&](int) {
          kernels::add_scaled(ctx, n, 1.0, x1.data<float>(), 3.0, x2.data<float>(), y.mutable_data<float>());
        },
        warmup, steps, device);
    c.triad_bytes_per_s = 3.0 * static_cast<double>(n) * sizeof(float) / seconds.front();
  }
  {
    const std::int64_t n = device.is_cuda() ? 8192 : 1536;
    const Tensor a = Tensor::full({n, n}, 0.5, DType::f32, device), b = Tensor::full({n, n}, 0.25, DType::f32, device);
    Tensor y = Tensor::empty({n, n}, DType::f32, device);
    const auto seconds = time_calls(
        [&](int) {
          kernels::matmul(ctx, {n, n, n}, a.data<float>(), b.data<float>(), y.mutable_data<float>(),
                          kernels::Accum::write);
        },
        warmup, steps, device);
    c.gemm_flops_per_s =
        2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds.front();
  }
  if (!device.is_cuda()) c.fma_flops_per_s = kernels::cpu::peak_flops_per_s();
  return c;
}

}  // namespace

KernelBenchmark benchmark_kernels(const BenchOptions& options, Device device) {
  Rng rng(static_cast<std::uint64_t>(options.seed));
  const auto classifier = make_classifier({options.arch, options.classes, options.width}, rng);
  classifier->eval();
  const NetworkShapes shapes = network_shapes(*classifier, options.batch_size, options.input_size);
  KernelArena arena(device, largest_activation(shapes));
  std::vector<KernelCase> cases = kernel_cases(shapes, arena, options.winograd);
  std::erase_if(cases, [&](const KernelCase& c) { return c.kernel.find(options.only) == std::string::npos; });
  PEN_CHECK_AS(usage, !cases.empty(), "bench kernels: no kernel's name contains '", options.only, "'");
  KernelBenchmark result;
  result.ceilings = measure_ceilings(device);
  for (const KernelCase& one : cases) {
    const std::vector<double> seconds = time_calls(one.call, options.warmup, options.steps, device);
    result.figures.push_back(
        {one.kernel, one.shape, one.count, one.flops, one.bytes, median(seconds), seconds.front(), seconds.back()});
  }
  return result;
}

}  // namespace pen
