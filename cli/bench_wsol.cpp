// bench wsol: judging maps by boxes and pixels.
#include <fmt/format.h>

#include <cstdio>

#include "cli/bench.h"
#include "cli/compute.h"
#include "eval/wsol/benchmark.h"

namespace pen::cli {

void bench_wsol(const BenchOptions& options) {
  using eval::wsol::JudgingBenchmark;
  const JudgingBenchmark result = eval::wsol::benchmark_judging(
      options.maps, static_cast<int>(options.input_size), options.steps, static_cast<std::uint64_t>(options.seed));
  if (!options.json) {
    std::string text = fmt::format("{} maps of {}x{}, 1000 thresholds, on {}\n", options.maps, options.input_size,
                                   options.input_size, describe(Device{}));
    for (const JudgingBenchmark::Metric& m : result.metrics)
      text += fmt::format("  {:<12} {:.0f} maps/s, {:.0f} to {:.0f} over {} passes\n", m.name, m.median_maps_per_s,
                          m.min_maps_per_s, m.max_maps_per_s, m.maps_per_s.size());
    std::fputs(text.c_str(), stdout);
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "wsol").field("maps", options.maps).field("input_size", options.input_size);
  json.field("thresholds", 1000).field("seed", options.seed).key("metrics").begin_object();
  for (const JudgingBenchmark::Metric& m : result.metrics)
    json.key(m.name)
        .begin_object()
        .field("maps_per_s", m.median_maps_per_s)
        .field("min_maps_per_s", m.min_maps_per_s)
        .field("max_maps_per_s", m.max_maps_per_s)
        .field("passes", m.maps_per_s)
        .field("result", m.result)
        .end_object();
  json.end_object();
  write_machine(json, Device{});
  json.end_object();
  std::puts(json.text().c_str());
}

}  // namespace pen::cli
