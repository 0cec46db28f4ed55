// Options that several commands share. A command's options struct derives from the ones it honours; nothing here is
// offered by a command that would ignore it.
#pragma once

#include <cstdint>
#include <string>

#include "base/options.h"

namespace pen {

// What every command has: how much is said, and where.
struct LogOptions {
  std::string progress = "auto";
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

// Where and how a computation runs.
struct ComputeOptions {
  std::string device = "auto";
  std::string precision = "fp32";
  std::int64_t seed = 0;
  bool deterministic = false;
  std::int64_t threads = 0;
  double memory_limit = 0;  // GiB

  bool is_16_bit() const { return precision == "bf16" || precision == "fp16"; }
};

// json_doc: what --json prints in this command; empty: the command has nothing to print as JSON.
template <class T>
void add_log_options(OptionsOf<T>& table, const std::string& json_doc) {
  table.group("Messages");
  table.add("progress", &LogOptions::progress, "progress on stderr: a bar on a terminal, plain lines otherwise (auto)")
      .one_of({"auto", "bar", "plain", "json", "none"})
      .of_this_call();
  if (!json_doc.empty()) table.add("json", &LogOptions::json, json_doc).of_this_call();
  table.add("quiet", &LogOptions::quiet, "only warnings and errors").short_form('q').of_this_call();
  table.add("verbose", &LogOptions::verbose, "more details").short_form('v').of_this_call();
}

template <class T>
void add_compute_options(OptionsOf<T>& table) {
  table.group("Device");
  table
      .add("device", &ComputeOptions::device,
           "auto, cpu, cuda or cuda:1; auto takes the first GPU that this build can use, else the CPU")
      .placeholder("DEVICE")
      .changes_on_resume();
  table
      .add("precision", &ComputeOptions::precision,
           "number format of activations and weights; tf32: float32 whose products a GPU rounds to 10 bits; bf16 and "
           "fp16: inside classifiers, sums, parameters and all else in float32, on a GPU with products as with tf32 "
           "(fp16 on the CPU computes in float32 between conversions: to see what it rounds, not for speed)")
      .one_of({"fp32", "tf32", "bf16", "fp16"});
  table.add("seed", &ComputeOptions::seed, "all randomness follows from it").at_least(0);
  table.add("deterministic", &ComputeOptions::deterministic,
            "equal bits in every run on the same device, also where a faster way exists; on the CPU always so");
  table.add("threads", &ComputeOptions::threads, "CPU threads; 0: all cores this process may use")
      .between(0, 4096)
      .changes_on_resume();
  table
      .add("memory_limit", &ComputeOptions::memory_limit,
           "GiB that tensors may hold on the device; what needs more ends with an error; 0: what the machine has")
      .at_least(0)
      .changes_on_resume();
}

// Applies --progress, -q and -v to the log. -q with -v: a usage error.
void apply_log_options(const LogOptions& options);

}  // namespace pen
