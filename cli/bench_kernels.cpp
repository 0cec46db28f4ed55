// bench kernels: single kernels against the machine's ceilings.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/bench.h"
#include "cli/compute.h"
#include "train/bench_kernels.h"

namespace pen::cli {
namespace {

// The share of what the machine could do at most with such a kernel: of the compute or of the memory ceiling, whichever
// is nearer.
double share_of_roof(const KernelFigure& f, const Ceilings& c) {
  const double peak = std::max(c.gemm_flops_per_s, c.fma_flops_per_s);
  return std::max(f.flops / peak, f.bytes / c.triad_bytes_per_s) / f.median_s;
}

std::string as_text(const KernelBenchmark& result, const BenchOptions& options, Device device) {
  const Ceilings& c = result.ceilings;
  std::string text = fmt::format(
      "{} (width {}), {}x{}, batch {}, on {}\nceilings: triad {:.1f} GB/s, matrix product {:.0f} GFLOP/s{}\n",
      options.arch, options.width, options.input_size, options.input_size, options.batch_size, describe(device),
      c.triad_bytes_per_s / 1e9, c.gemm_flops_per_s / 1e9,
      c.fma_flops_per_s > 0 ? fmt::format(", multiply-add on registers {:.0f} GFLOP/s", c.fma_flops_per_s / 1e9) : "");
  text += fmt::format("{:<22} {:<42} {:>3} {:>9} {:>8} {:>8} {:>8} {:>8} {:>5}\n", "kernel", "shape", "n", "median ms",
                      "least", "most", "GFLOP/s", "GB/s", "roof");
  for (const KernelFigure& f : result.figures)
    text += fmt::format("{:<22} {:<42} {:>3} {:>9.3f} {:>8.3f} {:>8.3f} {:>8.1f} {:>8.1f} {:>4.0f}%\n", f.kernel,
                        f.shape, f.count, f.median_s * 1e3, f.min_s * 1e3, f.max_s * 1e3, f.flops_per_s() / 1e9,
                        f.bytes_per_s() / 1e9, 100 * share_of_roof(f, c));
  return text + "n: how often a pass through the network has it; roof: share of the nearer ceiling\n";
}

}  // namespace

void bench_kernels(const BenchOptions& options, Device device) {
  const KernelBenchmark result = benchmark_kernels(options, device);
  const Ceilings& c = result.ceilings;
  if (!options.json) {
    std::fputs(as_text(result, options, device).c_str(), stdout);
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "kernels").field("arch", options.arch).field("width", options.width);
  json.field("input_size", options.input_size).field("batch", options.batch_size).field("precision", options.precision);
  json.field("steps", options.steps).field("warmup", options.warmup);
  json.key("ceilings").begin_object().field("triad_bytes_per_s", c.triad_bytes_per_s);
  json.field("gemm_flops_per_s", c.gemm_flops_per_s);
  if (c.fma_flops_per_s > 0) json.field("fma_flops_per_s", c.fma_flops_per_s);
  json.end_object().key("kernels").begin_array();
  for (const KernelFigure& f : result.figures) {
    json.begin_object().field("kernel", f.kernel).field("shape", f.shape).field("count", f.count);
    json.field("flops", f.flops).field("bytes", f.bytes);
    json.field("median_s", f.median_s).field("min_s", f.min_s).field("max_s", f.max_s);
    json.field("gflops_per_s", f.flops_per_s() / 1e9).field("gbytes_per_s", f.bytes_per_s() / 1e9);
    json.field("share_of_roof", share_of_roof(f, c)).end_object();
  }
  json.end_array();
  write_machine(json, device);
  json.end_object();
  std::puts(json.text().c_str());
}

}  // namespace pen::cli
