// penumbra bench: how fast and how large things are on this machine.
#include "cli/bench.h"
#include "cli/commands.h"
#include "cli/compute.h"

namespace pen::cli {
namespace {

int run(const BenchOptions& options, const Invocation&) {
  const Device device = open_device(options, true);
  if (options.what == "loader")
    bench_loader(options);
  else if (options.what == "kernels")
    bench_kernels(options, device);
  else if (options.what == "wsol")
    bench_wsol(options);
  else if (options.what == "memory")
    bench_memory(options, device);
  else
    bench_step(options, device);
  return 0;
}

}  // namespace

Command bench_command() {
  return make_command<BenchOptions>(
      "bench", "measure steps, kernels, memory, the image loader or the judging of maps on this machine",
      "  penumbra bench step --mode fix --arch resnet50 --batch 8 --device cpu --steps 5 --json\n"
      "  penumbra bench loader metadata/train.json --workers 2 --limit 2000 --batch 32\n"
      "  penumbra bench kernels --only conv2d_fused --batch 8\n"
      "  penumbra bench memory --modes fix,ca --batches 1,2,4,8\n"
      "  penumbra bench wsol --maps 500\n",
      bench_options(), [](BenchOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
