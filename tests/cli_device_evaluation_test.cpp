// Every command that looks at images, with --device cuda: on a simulated GPU on every machine, on a real one where
// there is one. Held against the CPU.
#include "eval/attribution/registry.h"
#include "models/infill_ca.h"
#include "models/infill_cnn.h"
#include "models/infill_dfnet.h"
#include "models/infill_pconv.h"
#include "tests/device_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

std::string joined(const Words& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

// The same words on both devices; `output` is the option that takes a path. Returns the paths: the GPU's, the CPU's.
std::pair<std::string, std::string> both(const Gpu& gpu, const std::string& name, const Words& words,
                                         const std::string& output = "--output_path") {
  for (const std::string& device : {gpu.name, std::string("-cpu")})
    std::filesystem::create_directories(tiny().folder / ("on" + device));
  const std::string got = tiny().folder / ("on" + gpu.name + "/" + name), want = tiny().folder / ("on-cpu/" + name);
  finish(program_path(), words + Words{"--device", "cpu", output, want});
  finish(gpu.program, words + Words{"--device", "cuda", output, got});
  return {got, want};
}

const Words pictures() { return {"--val_json", tiny().list, "--batch_size", "3", "--workers", "1"}; }
const Words few{"--samples", "4"};

void check_methods(const Gpu& gpu) {
  Words methods;
  for (const std::string& name : eval::attribution_names()) methods.push_back(name);
  const auto [got, want] = both(gpu, "all-maps",
                                Words{"attribute", "--resnet_path", tiny().classifier, "--casm_path", tiny().masker,
                                      "--method", joined(methods + Words{"casme"}), "--steps", "4", "--limit", "3"} +
                                    few + pictures());
  for (const std::string& name : methods) {
    CAPTURE(name);
    check_maps(got + "/" + name, want + "/" + name, 2e-3);
  }
  check_maps(got + "/casme", want + "/casme", 1e-4);
  const auto shown = both(gpu, "explained-all",
                          {"explain", tiny().folder / "val/left/v0.png", "--casm_path", tiny().masker, "--method",
                           "casme,grad_cam,smooth_grad", "--samples", "3"});
  CHECK(std::filesystem::exists(shown.first));
}

void check_scores(const Gpu& gpu) {
  const Words base = Words{"score", "--bboxes_path", tiny().boxes, "--bootstrap", "20"} + pictures();
  const Words masker{"--casm_path", tiny().masker}, plain{"--resnet_path", tiny().classifier};
  const std::string boxes = tiny().folder / "recorded.json";
  std::vector<std::pair<std::string, Words>> modes{{"casme", masker + Words{"--record_bboxes"}}};
  for (const char* mode : {"max", "min", "none", "center", "ground_truth"}) modes.emplace_back(mode, plain);
  for (const std::string& name : eval::attribution_names()) {
    if (name == "center") continue;
    Words more = plain;
    if (name == "rise" || name == "smooth_grad") more = more + few;
    if (name == "integrated_gradients") more = more + Words{"--steps", "4"};
    modes.emplace_back(name, more);
  }
  for (auto& [mode, words] : modes) {
    CAPTURE(mode);
    if (words.back() == "--record_bboxes") {
      words.pop_back();
      finish(program_path(), base +
                                 Words{"--mode", mode, "--device", "cpu", "--output_path", boxes + ".scores",
                                       "--record_bboxes", boxes} +
                                 words);
    }
    const auto [got, want] = both(gpu, "score-" + mode, base + Words{"--mode", mode} + words);
    check_json(got, want, 2e-3);
  }
  const auto [got, want] =
      both(gpu, "score-external", base + Words{"--mode", "external", "--casm_path", boxes} + plain);
  check_json(got, want, 1e-4);
  const auto unfused = both(gpu, "score-unfused", base + Words{"--mode", "casme", "--fuse", "false"} + masker);
  check_json(unfused.first, unfused.second, 1e-4);
}

void check_benchmarks(const Gpu& gpu) {
  for (const char* loader : {"casme", "grad_cam"}) {
    const Words what = std::string(loader) == "casme"
                           ? Words{"--casm_path", tiny().masker, "--casme_load_mode", "specific"}
                           : Words{"--resnet_path", tiny().classifier};
    const auto [got, want] = both(gpu, str("wsol-", loader, ".json"),
                                  Words{"wsol", "--cam_loader", loader, "--bboxes_path", tiny().boxes, "--masks_path",
                                        tiny().folder / "masks", "--bootstrap", "20"} +
                                      what + pictures());
    check_json(got, want, 2e-3);
  }
  const auto [got, want] =
      both(gpu, "evaluated",
           Words{"evaluate", "--methods", "casme,grad_cam,random", "--casm_path", tiny().masker, "--bboxes_path",
                 tiny().boxes, "--masks_path", tiny().folder / "masks", "--metrics",
                 "LE,MaxBoxAcc,MaxBoxAccV2,PxAP,insertion,deletion,average_drop,average_increase,average_gain,road,"
                 "road_morf,road_lerf,pointing_game,energy_pointing_game,sparseness,max_sensitivity",
                 "--sensitivity_samples", "2", "--curve_steps", "4"} +
               pictures());
  for (const char* method : {"casme", "grad_cam", "random"}) {
    CAPTURE(method);
    check_json(got + "/" + method + ".json", want + "/" + method + ".json", 2e-3);
  }
}

void check_sanity(const Gpu& gpu) {
  const Words mprt =
      Words{"sanity", "mprt", "--input_size", "64", "--bootstrap", "20", "--layer_depth", "1"} + pictures();
  const std::pair<std::string, Words> subjects[] = {
      {"masker", {"--casm_path", tiny().masker}},
      {"gradient", {"--method", "gradient", "--resnet_path", tiny().classifier}},
      {"grad-cam", {"--method", "grad_cam", "--resnet_path", tiny().classifier}}};
  for (const auto& [name, words] : subjects) {
    CAPTURE(name);
    const auto [got, want] = both(gpu, "mprt-" + name, mprt + words);
    check_json(got + "/scores.json", want + "/scores.json", 5e-3);
  }
  TinyNetworks other;
  other.seed = 77;
  write_tiny(tiny().folder / "other.chk", other);
  const auto [got, want] =
      both(gpu, "drt",
           Words{"sanity", "drt", "--casm_path1", tiny().masker, "--casm_path2", tiny().folder / "other.chk",
                 "--allow_other_weights", "--input_size", "64", "--bootstrap", "20"} +
               pictures());
  check_json(got + "/scores.json", want + "/scores.json", 5e-3);
}

// A file with an infiller's initial weights.
void write_infiller(const std::string& path, const std::string& name) {
  Rng rng(9);
  std::unique_ptr<Infiller> network;
  if (name == "cnn") network = std::make_unique<CnnInfiller>(rng);
  if (name == "pconv") network = std::make_unique<PConvInfiller>(4, rng);
  if (name == "ca_infiller") network = std::make_unique<CaInfiller>(false, rng);
  if (name == "dfn_infiller") network = std::make_unique<DfnetInfiller>(false, rng);
  REQUIRE(network);
  Checkpoint file;
  file.parts["state_dict_infiller"] = copy_state(*network);
  write_checkpoint(path, file);
}

// Scores and pictures with each infiller, and training with each that a step can have.
void check_infillers(const Gpu& gpu) {
  const std::string image = tiny().folder / "val/left/v0.png";
  for (const InfillerKind& kind : infiller_kinds()) {
    const std::string name = kind.name;
    CAPTURE(name);
    Words infiller{"--infiller_model", name};
    if (kind.network) {
      const std::string file = tiny().folder / (name + ".chk");
      if (!std::filesystem::exists(file)) write_infiller(file, name);
      infiller = infiller + Words{"--infiller_path", file};
    }
    // The plain loops that stand in for cuDNN take half a minute for one image of DFNet's 256x256.
    const bool large = name == "dfn_infiller";
    const auto [got, want] =
        both(gpu, "infilled-" + name,
             Words{"score", "--mode", "casme", "--casm_path", tiny().masker, "--bboxes_path", tiny().boxes,
                   "--bootstrap", "20", "--limit", large ? "1" : "3", "--do_infill_for_mask_out"} +
                 infiller + pictures());
    check_json(got, want, 1e-3);
    if (large) continue;
    both(gpu, "shown-" + name, Words{"explain", image, "--casm_path", tiny().masker} + infiller);
    const Words step = Words{"--fixed_classifier",      "--lambda_tv",  "0.001",
                             "--mask_in_criterion",     "crossentropy", "--do_infill_for_mask_out",
                             "--do_infill_for_mask_in", "--max_steps",  "1"} +
                       infiller;
    finish(program_path(), training().train("infill-" + name + "-cpu", step));
    finish(gpu.program, on("cuda", training().train("infill-" + name + gpu.name, step)));
    check_lines(training().at("infill-" + name + gpu.name, "log/train.jsonl"),
                training().at("infill-" + name + "-cpu", "log/train.jsonl"), 1, 2e-3);
  }
}

}  // namespace

#define PEN_ON_BOTH(what, check)                                                                           \
  TEST_CASE("device: " what " on a simulated GPU equal the CPU's") { check({simulated(), "-simulated"}); } \
  TEST_CASE("device: " what " on a GPU equal the CPU's") {                                                 \
    if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");                                       \
    check({program_path(), "-gpu"});                                                                       \
  }
PEN_ON_BOTH("the maps of all attribution methods", check_methods)
PEN_ON_BOTH("scores in every mode", check_scores)
PEN_ON_BOTH("wsol and evaluate", check_benchmarks)
PEN_ON_BOTH("both sanity checks", check_sanity)
PEN_ON_BOTH("steps, scores and pictures with every infiller", check_infillers)
