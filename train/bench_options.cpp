#include "train/bench_options.h"

#include "base/option_rules.h"
#include "models/classifier.h"

namespace pen {
namespace {

OptionTable make_table() {
  OptionsOf<BenchOptions> table;
  using B = BenchOptions;
  table.group("What");
  table
      .add("what", &B::what,
           "step: a training step or inference; loader: reading and cropping images; kernels: single kernels at the "
           "network's sizes against the machine's ceilings; wsol: judging maps by boxes and pixels; memory: of steps, "
           "by "
           "batch size")
      .one_of({"step", "loader", "kernels", "wsol", "memory"})
      .placeholder("step|loader|kernels|wsol|memory")
      .by_place()
      .must_be_given();
  table.add("path", &B::path, "loader: metadata JSON, or a folder of class folders")
      .placeholder("FOLDER_OR_JSON")
      .by_place()
      .or_none();

  table.group("step, kernels, memory");
  table.add("mode", &B::mode, "step: FIX step, CA step, or classifier and masker forward")
      .one_of({"fix", "ca", "infer"});
  table.add("arch", &B::arch, "the classifier").one_of(classifier_archs());
  table.add("width", &B::width, "factor on all channel counts").above(0).most = 8;
  table.add("classes", &B::classes, "number of classes").between(1, 1e6);
  table.add("fuse", &B::fuse,
            "run a fixed classifier (fix, infer) as one operation, with the masks of fix and ca at the masker's "
            "resolution; false: layer by layer, masks at the image's");
  table.add("winograd", &B::winograd, "mode ca, fuse and kernels: let 3x3 convolutions run by Winograd's algorithm");
  table.add("cuda_graph", &B::cuda_graph, "step, modes fix and ca on a GPU: as a CUDA graph, not kernel by kernel");
  add_clean_ahead_option(table);
  table.add("masker_use_layers", &B::masker_use_layers, "taps that the masker sees").between(0, 4);
  table
      .add("gradient", &B::gradient,
           "step: file for the first step's mask and the gradient with respect to it, at the masker's resolution with "
           "fuse (infer: mask and logits), as safetensors")
      .placeholder("FILE")
      .or_none();
  table.add("only", &B::only, "kernels: those whose name contains this").placeholder("TEXT").or_none();
  table.add("modes", &B::modes, "memory: which steps, of fix, ca and infer, with commas between")
      .placeholder("NAME,NAME,...");
  table.add("batches", &B::batches, "memory: which batch sizes, ascending").between(1, 65536);

  table.group("All");
  table.add("warmup", &B::warmup, "steps or calls before the clock starts; loader and wsol have one pass of their own")
      .between(0, 1e6);
  table.add("batch_size", &B::batch_size, "images at a time").also("batch").between(1, 65536);
  table
      .add("steps", &B::steps,
           "what is timed: steps (mode ca: of each of its two kinds), calls of each kernel, or passes over images or "
           "maps")
      .between(1, 1e6);
  table.add("input_size", &B::input_size, "side of the square input or map, a multiple of 4").between(32, 2048);

  table.group("loader, wsol");
  table
      .add("transform", &B::transform,
           "loader: train: random crop and flip; val: resize and centre crop; score: as scoring does")
      .one_of({"train", "val", "score"});
  table.add("workers", &B::workers, "loader: threads that read images; 0: as many as --threads").between(0, 1024);
  add_reading_options(table);
  table.add("limit", &B::limit, "loader: use the first so many images only; 0: all").at_least(0);
  table.add("maps", &B::maps, "wsol: number of maps").between(1, 1e6);

  add_compute_options(table);
  add_log_options(table, "the result as one JSON line on stdout");
  return table;
}

}  // namespace

const OptionTable& bench_options() {
  static const OptionTable table = make_table();
  return table;
}

void resolve(BenchOptions& options, OptionValues& values) {
  const auto is = [&](const char* what) { return options.what == what; };
  const auto only_for = [&](bool used, const std::vector<std::string>& names) {
    rules::check_effect(values, used, names, "bench " + options.what + " does not read it");
  };
  PEN_CHECK_AS(usage, is("loader") == !options.path.empty(), "bench ", options.what,
               is("loader") ? ": the metadata JSON or the folder of images is missing"
                            : str(" reads no images, what is '", options.path, "' for?"));
  only_for(is("step"), {"mode", "gradient"});
  only_for(is("step") || is("kernels") || is("memory"), {"arch", "width", "classes", "warmup"});
  only_for(is("step") || is("memory"), {"fuse", "masker_use_layers"});
  only_for(is("step") || is("memory") || is("kernels"), {"winograd"});
  rules::check_effect(values, is("step") && options.mode != "infer" && parse_device(options.device).is_cuda(),
                      {"cuda_graph"}, "it is for bench step in --mode fix and ca on a GPU");
  only_for(is("step") || is("memory"), {"clean_ahead"});
  rules::check_effect(values, !is("step") || (options.mode == "fix" && options.fuse), {"clean_ahead"},
                      "it is for --mode fix with fuse");
  only_for(is("kernels"), {"only"});
  only_for(is("memory"), {"modes", "batches"});
  only_for(!is("memory") && !is("wsol"), {"batch_size"});
  only_for(is("loader"), {"transform", "workers", "limit", "decode", "cache", "cache_gib"});
  if (is("loader")) resolve_reading_options(values, options);
  only_for(is("wsol"), {"maps"});
  rules::check_input_size(options.input_size);
  rules::check_taps(options.masker_use_layers);
  PEN_CHECK_AS(usage, !options.is_16_bit() || (is("step") && (options.mode == "ca" || options.fuse)), "--precision ",
               options.precision, " is for bench step, and in --mode fix and infer not with --fuse false");
  memory_modes(options);
  PEN_CHECK_AS(usage, !options.batches.empty(), "--batches: the list is empty");
  for (std::size_t i = 1; i < options.batches.size(); ++i)
    PEN_CHECK_AS(usage, options.batches[i - 1] < options.batches[i], "--batches: ", options.batches[i], " comes after ",
                 options.batches[i - 1], " (they ascend)");
}

std::vector<std::string> memory_modes(const BenchOptions& options) {
  std::vector<std::string> modes(1);
  for (const char c : options.modes) {
    if (c == ',')
      modes.emplace_back();
    else
      modes.back() += c;
  }
  for (const std::string& mode : modes)
    PEN_CHECK_AS(usage, mode == "fix" || mode == "ca" || mode == "infer", "--modes: '", mode,
                 "' is not one of fix, ca, infer");
  return modes;
}

}  // namespace pen
