// The whole program with --device cuda: on a simulated GPU (simulated_gpu.cpp), whose memory nobody but kernels and
// copies can touch, on every machine; on a real one, the same commands, where there is one. Held against the CPU.
#include "tests/compare.h"
#include "tests/device_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

// CA where an earlier classifier looks at the masked images in every other step.
Words historic(const std::string& steps) {
  return {"--zoo_mode", "historic", "--save_freq", "1", "--prob_historic", "0.5", "--max_steps", steps};
}

// The first tensor that a classifier learns.
Tensor first_weight(const std::string& file) {
  return read_checkpoint(file).parts.at("state_dict_classifier").at(0).tensor;
}

void check_training(const Gpu& gpu) {
  // Equal bits after resuming are promised on the CPU, and on a GPU with --deterministic.
  const Words fix{"--deterministic",
                  "--fixed_classifier",
                  "--lambda_tv",
                  "0.001",
                  "--mask_in_criterion",
                  "crossentropy",
                  "--do_val",
                  "--val_json",
                  training().val,
                  "--max_steps",
                  "4"};
  const Words ca =
      Words{"--lr", "0.00001", "--lr_casme", "0.00001", "--lambda_tv", "0.001", "--mask_in_criterion", "crossentropy"} +
      historic("4");
  const std::pair<std::string, Words> runs[] = {
      {"fix", fix},
      // As by default on a GPU: the next batch's clean pass joins (clean_ahead).
      {"fix-ahead", Words(fix.begin() + 1, fix.end())},
      {"fix-unfused", fix + Words{"--fuse", "false"}},
      {"fix-infill", fix + Words{"--do_infill_for_mask_out", "--infiller_model", "cnn", "--train_infiller"}},
      {"ca", ca}};
  for (const auto& [name, words] : runs) {
    CAPTURE(name);
    finish(program_path(), training().train(name + "-cpu", words));
    finish(gpu.program, on("cuda", training().train(name + gpu.name, words)));
    // The first step, and what its update makes of the second: later, values that passed a ReLU on one side only have
    // moved a training run of four images a step elsewhere.
    check_lines(training().at(name + gpu.name, "log/train.jsonl"), training().at(name + "-cpu", "log/train.jsonl"), 2,
                2e-3);
  }
  // A run goes on on the GPU to the bit.
  for (const auto& [name, words] : {std::pair{"fix", fix}, {"ca", Words{"--deterministic"} + ca}}) {
    CAPTURE(name);
    const std::string whole = str("whole-", name, gpu.name), parts = str("parts-", name, gpu.name);
    finish(gpu.program, on("cuda", training().train(whole, words)));
    finish(gpu.program, on("cuda", training().train(parts, Words(words.begin(), words.end() - 1) + Words{"2"})));
    finish(gpu.program, training().resume(parts, {"--max_steps", "4"}));
    check_same(training().at(whole), training().at(parts));
    // Steps as CUDA graphs are the same steps, in a run that goes on too.
    const std::string graph = str("graph-", name, gpu.name);
    finish(gpu.program, on("cuda", training().train(graph, words + Words{"--cuda_graph", "true"})));
    check_same(training().at(graph), training().at(whole));
    finish(gpu.program, training().resume(parts, {"--max_steps", "8", "--cuda_graph", "true"}));
    finish(gpu.program, training().resume(whole, {"--max_steps", "8"}));
    check_same(training().at(parts), training().at(whole));
  }
}

// bench step --cuda_graph says how many graphs ran, so that nobody measures a step that was none.
void check_graph_bench(const Gpu& gpu) {
  for (const auto& [mode, precision, products] :
       {std::tuple<std::string, std::string, std::string>{"fix", "fp32", "fp32"}, {"ca", "fp16", "tf32"}}) {
    const Ended ended = run_program(
        gpu.program, {"bench",       "step",     "--device", "cuda",  "--mode",       mode, "--cuda_graph", "true",
                      "--arch",      "resnet18", "--width",  "0.125", "--input_size", "64", "--classes",    "3",
                      "--batch",     "2",        "--steps",  "3",     "--warmup",     "2",  "--threads",    "1",
                      "--precision", precision,  "--json"});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const rapidjson::Document said = parse_json(ended.out, "bench");
    const int kinds = mode == "ca" ? 2 : 1;
    // Of each kind two are not recorded; then three that are waited for, and three that overlap.
    CAPTURE(ended.out);
    CHECK(said["float32_products"].GetString() == products);
    CHECK(said["cuda_graph"]["graphs"].GetInt() == kinds * 6);
    CHECK(said["cuda_graph"]["nodes"].GetInt() > kinds * 6 * 100);
    // Of one shape each, the overlapping ones too; CA's first update has no momentum yet.
    CHECK(said["cuda_graph"]["instantiated"].GetInt() == kinds);
    CHECK(said["overlapped_images_per_s"].GetDouble() > 0);
  }
}

// FIX with the classifier in fp16, where gradients fit and where none does: then no step updates anything, and the run
// says so once, and how often at its end.
void check_half(const Gpu& gpu) {
  const Words half{"--deterministic",     "--fixed_classifier",
                   "--mask_in_criterion", "crossentropy",
                   "--precision",         "fp16",
                   "--max_steps",         "3"};
  finish(program_path(), training().train("half-cpu", half));
  finish(gpu.program, on("cuda", training().train("half" + gpu.name, half)));
  check_lines(training().at("half" + gpu.name, "log/train.jsonl"), training().at("half-cpu", "log/train.jsonl"), 2,
              4e-3);
  for (const auto& [program, device, name] :
       {std::tuple{program_path(), "cpu", std::string("-cpu")}, {gpu.program, "cuda", gpu.name}}) {
    const std::string run = "overflow" + name;
    const Ended ended =
        run_program(program, on(device, training().train(run, half + Words{"--loss_scale", "16777216"})));
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const std::string warning = "a gradient overflowed inside the classifier in fp16";
    CHECK_MESSAGE(contains(ended.err, "step 0: " + warning), ended.err);
    CHECK(ended.err.find(warning) == ended.err.rfind(warning));
    CHECK(contains(ended.err, "3 steps left out an update"));
    const auto steps = json_lines(slurp(training().at(run, "log/train.jsonl")));
    REQUIRE(steps.size() == 3);
    for (const auto& step : steps) {
      CHECK(step["overflow"].GetDouble() == 1);
      CHECK(std::isfinite(step["masked_total___loss"].GetDouble()));
    }
  }
  for (const auto& line : json_lines(slurp(training().at("half" + gpu.name, "log/train.jsonl"))))
    CHECK(line["overflow"].GetDouble() == 0);
}

// CA with the classifier in fp16, which learns. Its last norms see four values of each channel here, so that a sum
// which is rounded to the other side shows in the second digit.
void check_half_learning(const Gpu& gpu) {
  const Words half = Words{"--deterministic", "--mask_in_criterion", "crossentropy", "--lr", "0.00001", "--lr_casme",
                           "0.00001",         "--precision",         "fp16"} +
                     historic("3");
  finish(program_path(), training().train("half-ca-cpu", half));
  finish(gpu.program, on("cuda", training().train("half-ca" + gpu.name, half)));
  check_lines(training().at("half-ca" + gpu.name, "log/train.jsonl"), training().at("half-ca-cpu", "log/train.jsonl"),
              1, 3e-2);
  const std::string run = "overflow-ca" + gpu.name;
  const Ended ended =
      run_program(gpu.program, on("cuda", training().train(run, half + Words{"--loss_scale", "16777216"})));
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  CHECK(contains(ended.err, "3 steps left out an update"));
  CHECK(same_bytes(first_weight(training().at(run)), first_weight(training().classifier)));
  CHECK_FALSE(same_bytes(first_weight(training().at("half-ca" + gpu.name)), first_weight(training().classifier)));
}

// A classifier is fitted as on the CPU, and a run goes on to the bit.
void check_fitting(const Gpu& gpu) {
  const auto fit = [&](const std::string& device, const std::string& name, const Words& more,
                       const std::string& size = "32") {
    return Words{"fit-classifier",
                 "--train_json",
                 training().list,
                 "--val_json",
                 training().val,
                 "--output_path",
                 training().runs,
                 "--name",
                 name,
                 "--arch",
                 "resnet18",
                 "--width",
                 "0.125",
                 "--batch_size",
                 "4",
                 "--input_size",
                 size,
                 "--lr",
                 "0.01",
                 "--epochs",
                 "1",
                 "--workers",
                 "1",
                 "--threads",
                 "1",
                 "--deterministic",
                 "--quiet",
                 "--device",
                 device} +
           more;
  };
  const std::string whole = "fit" + gpu.name, parts = "fit-parts" + gpu.name;
  finish(program_path(), fit("cpu", "fit-cpu", {}));
  finish(gpu.program, fit("cuda", whole, {}));
  check_lines(training().at(whole, "log/train.jsonl"), training().at("fit-cpu", "log/train.jsonl"), 2, 2e-3);
  // In 16 bit at twice the size: at 32 the last norms see four values of each channel, and a sum that is rounded to the
  // other side moves the loss by half a percent.
  finish(program_path(), fit("cpu", "fit-half-cpu", {"--precision", "fp16"}, "64"));
  finish(gpu.program, fit("cuda", "fit-half" + gpu.name, {"--precision", "fp16"}, "64"));
  check_lines(training().at("fit-half" + gpu.name, "log/train.jsonl"), training().at("fit-half-cpu", "log/train.jsonl"),
              1, 4e-3);
  // A scale is divided out exactly; one too large keeps every update from the weights, wherever they began.
  const auto after = [&](const std::string& scale, const std::string& steps) {
    const std::string name = "fit-scale-" + scale + "-" + steps + gpu.name;
    finish(gpu.program, fit("cuda", name, {"--precision", "fp16", "--loss_scale", scale, "--max_steps", steps}));
    return first_weight(training().at(name));
  };
  const Tensor usual = after("1024", "1"), quarter = after("256", "1"), start = after("16777216", "1");
  CHECK(same_bytes(start, after("16777216", "2")));
  const auto moved = [&](const Tensor& w) {
    std::vector<double> out = w.to(DType::f64).to_vector<double>();
    const std::vector<double> from = start.to(DType::f64).to_vector<double>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] -= from[i];
    return out;
  };
  const Difference d = compare_l2(moved(quarter), moved(usual), 1e-1);
  CHECK_MESSAGE(d.ok, d.message);
  finish(gpu.program, fit("cuda", parts, {"--max_steps", "3"}));
  finish(gpu.program, {"fit-classifier", "--output_path", training().runs, "--name", parts, "--resume", "--quiet",
                       "--max_steps", "0"});
  check_same(training().at(whole), training().at(parts));
}

void check_evaluation(const Gpu& gpu) {
  const TinyData& data = tiny();
  const auto both = [&](const std::string& name, const Words& words) {
    CAPTURE(name);
    finish(program_path(), words + Words{"--device", "cpu", "--output_path", data.folder / (name + "-cpu")});
    finish(gpu.program, words + Words{"--device", "cuda", "--output_path", data.folder / (name + gpu.name)});
  };
  both("score.json", {"score", "--mode", "casme", "--casm_path", data.masker, "--val_json", data.list, "--bboxes_path",
                      data.boxes, "--bootstrap", "20", "--batch_size", "3", "--workers", "1"});
  check_json(data.folder / ("score.json" + gpu.name), data.folder / "score.json-cpu", 1e-4);
  both("explained", {"explain", data.folder / "val/left/v0.png", "--casm_path", data.masker});
  both("maps", {"attribute", "--resnet_path", data.classifier, "--val_json", data.list, "--method",
                "grad_cam,guided_backprop,score_cam", "--batch_size", "3", "--workers", "1"});
  for (const char* method : {"grad_cam", "guided_backprop", "score_cam"})
    check_maps(data.folder / ("maps" + gpu.name + "/" + method), data.folder / (std::string("maps-cpu/") + method),
               1e-3);
}

}  // namespace

TEST_CASE("device: training on a simulated GPU equals the CPU's, and resumes to the bit") {
  check_training({simulated(), "-simulated"});
}
TEST_CASE("device: bench step as a CUDA graph on a simulated GPU counts its graphs") {
  check_graph_bench({simulated(), "-simulated"});
}
TEST_CASE("device: training in fp16 on a simulated GPU equals the CPU's, and leaves out steps that overflow") {
  check_half({simulated(), "-simulated"});
  check_half_learning({simulated(), "-simulated"});
}
TEST_CASE("device: fitting a classifier on a simulated GPU equals the CPU's, and resumes to the bit") {
  check_fitting({simulated(), "-simulated"});
}
TEST_CASE("device: scores, pictures and maps on a simulated GPU equal the CPU's") {
  check_evaluation({simulated(), "-simulated"});
}

TEST_CASE("device: training on a GPU equals the CPU's, and resumes to the bit") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_training({program_path(), "-gpu"});
}
TEST_CASE("device: bench step as a CUDA graph on a GPU counts its graphs") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_graph_bench({program_path(), "-gpu"});
}
TEST_CASE("device: training in fp16 on a GPU equals the CPU's, and leaves out steps that overflow") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_half({program_path(), "-gpu"});
  check_half_learning({program_path(), "-gpu"});
}
TEST_CASE("device: fitting a classifier on a GPU equals the CPU's, and resumes to the bit") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_fitting({program_path(), "-gpu"});
}
TEST_CASE("device: scores, pictures and maps on a GPU equal the CPU's") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_evaluation({program_path(), "-gpu"});
}

TEST_CASE("device: tf32 is refused on the CPU") {
  const Ended ended = penumbra({"score", "--mode", "max", "--val_json", tiny().list, "--bboxes_path", tiny().boxes,
                                "--resnet_path", tiny().classifier, "--output_path", tiny().folder / "never.json",
                                "--device", "cpu", "--precision", "tf32"});
  CHECK(ended.code == static_cast<int>(ErrorKind::usage));
  CHECK_MESSAGE(contains(ended.err, "--precision tf32"), ended.err);
}

TEST_CASE("device: a GPU that is not there is a device error that says what is") {
  const Ended ended = run_program(
      simulated(), {"score", "--mode", "max", "--val_json", tiny().list, "--bboxes_path", tiny().boxes, "--resnet_path",
                    tiny().classifier, "--output_path", tiny().folder / "never.json", "--device", "cuda:3"});
  CHECK(ended.code == static_cast<int>(ErrorKind::device));
  CHECK_MESSAGE(contains(ended.err, "this program sees 1 GPUs"), ended.err);
}
