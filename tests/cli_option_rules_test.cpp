// Rules between options: what stands for several, presets, contradictions, options without effect.
#include <doctest/doctest.h>

#include "base/file.h"
#include "eval/options.h"
#include "tests/option_calls.h"
#include "tests/paths.h"
#include "train/bench_options.h"
#include "train/fit_options.h"
#include "train/kl_options.h"

using namespace pen;
using test::Call, test::contains, test::one_side, test::refusal, test::with_side;

namespace {

std::string config(const std::string& name) {
  const std::string path = pen::test::tests_folder() + "/../configs/" + name;
  const auto bytes = read_file(path, 1 << 16);
  return {bytes.begin(), bytes.end()};
}

// Rules between the options of one command, as the program applies them.
template <class Options>
std::string refused(const OptionTable& table, const std::vector<std::pair<std::string, std::string>>& words) {
  return refusal([&] {
    Options options;
    OptionValues values(table, &options);
    for (const auto& [name, text] : words) values.set_text(name, text, {OptionSource::command_line, {}, {}});
    values.check_required();
    resolve(options, values);
  });
}

}  // namespace

TEST_CASE("rules of score, explain, bench and fit-classifier") {
  using Words = std::vector<std::pair<std::string, std::string>>;
  const auto score = [](const std::string& mode, Words words) {
    words.insert(words.begin(), {{"val_json", "v"}, {"bboxes_path", "b"}, {"output_path", "o"}, {"mode", mode}});
    return refused<ScoreRunOptions>(score_options(), words);
  };
  CHECK(contains(score("casme", {}), "--mode casme needs --casm_path"));
  CHECK(contains(score("external", {{"resnet_path", "r"}}), "--mode external needs --casm_path, the file of boxes"));
  CHECK(contains(score("center", {}), "--mode center needs --resnet_path"));
  CHECK(contains(score("max", {{"resnet_path", "r"}, {"casm_path", "c"}}), "--casm_path has no effect"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"classifier_load_mode", "pickle"}}), "did you mean pickled?"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"classifier_load_mode", "path:"}}), "path:FILE"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"classifier_load_mode", "original"}}), "needs --resnet_path"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"erode", "1"}, {"dilate", "1"}}), "contradict"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"per_image", "x.txt"}}), "neither in .csv nor in .jsonl"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"pot", "1.5"}}), "out of bounds"));
  CHECK(contains(score("casme", {{"casm_path", "c"}, {"bootstrap", "0"}, {"confidence", "0.9"}}), "no effect"));
  CHECK(parse_classifier_load_mode("path:a b").file == "a b");

  CHECK(contains(refused<ExplainOptions>(explain_options(), {{"casm_path", "c"}, {"output_path", "o"}}),
                 "images is missing"));
  CHECK(contains(refused<ExplainOptions>(
                     explain_options(),
                     {{"images", "i"}, {"casm_path", "c"}, {"output_path", "o"}, {"classifier_load_mode", "original"}}),
                 "is for score"));

  const auto bench = [](const Words& words) { return refused<BenchOptions>(bench_options(), words); };
  CHECK(contains(bench({{"what", "step"}, {"cuda_graph", "true"}}), "--cuda_graph has no effect: it is for"));
  CHECK(contains(bench({{"what", "loader"}}), "the folder of images is missing"));
  CHECK(contains(bench({{"what", "step"}, {"path", "x"}}), "what is 'x' for?"));
  CHECK(contains(bench({{"what", "step"}, {"workers", "2"}}), "--workers has no effect"));
  CHECK(contains(bench({{"what", "step"}, {"cache", "ram"}}), "--cache has no effect"));
  CHECK(contains(bench({{"what", "step"}, {"mode", "ca"}, {"clean_ahead", "on"}}), "--clean_ahead has no effect"));
  CHECK(contains(bench({{"what", "step"}, {"fuse", "false"}, {"clean_ahead", "on"}}), "--clean_ahead has no effect"));
  CHECK(contains(bench({{"what", "kernels"}, {"clean_ahead", "on"}}), "--clean_ahead has no effect"));
  CHECK(contains(bench({{"what", "loader"}, {"path", "x"}, {"cache_gib", "2"}}), "there is no --cache"));
  CHECK(contains(bench({{"what", "loader"}, {"path", "x"}, {"decode", "quick"}}), "--decode"));
  CHECK(contains(bench({{"what", "loader"}, {"path", "x"}, {"arch", "resnet18"}}), "--arch has no effect"));
  CHECK(contains(bench({{"what", "steps"}}), "did you mean step?"));

  const auto fit = [](Words words) {
    words.insert(words.begin(), {{"train_json", "t"}, {"output_path", "o"}});
    return refused<FitOptions>(fit_options(), words);
  };
  CHECK(contains(fit({{"lrde", "5"}}), "--lrde has no effect: the schedule is cosine"));
  CHECK(contains(fit({{"warmup_epochs", "100"}}), "more than all 90 epochs"));
  CHECK(contains(fit({{"label_smoothing", "1.5"}}), "between 0 and 1"));
}

TEST_CASE("fuse is for CA too, whose masks it keeps coarse") {
  CHECK_FALSE(Call("", with_side({{"fuse", "false"}})).resolved().options.fuse);
  CHECK_FALSE(Call("", with_side({{"fuse", "false"}, {"fixed_classifier", "true"}})).resolved().options.fuse);
}

TEST_CASE("lambda_r and lambda_tv stand for both sides") {
  Call both("", with_side({{"lambda_r", "3"}}));
  both.resolved();
  CHECK(both.options.mask_in.lambda_r == 3);
  CHECK(both.options.mask_out.lambda_r == 3);
  CHECK(describe(both.values.origin("mask_in_lambda_r")) == "command line (lambda_r)");
  // a higher source keeps its own value, a lower one gives way, an equal one contradicts
  Call higher(R"({"lambda_tv": 0.001})", with_side({{"mask_in_lambda_tv", "0.01"}}));
  higher.resolved();
  CHECK(higher.options.mask_in.lambda_tv == 0.01);
  CHECK(higher.options.mask_out.lambda_tv == 0.001);
  CHECK(describe(higher.values.origin("mask_out_lambda_tv")) == "file my.json (lambda_tv)");
  Call lower(R"({"mask_in_lambda_r": 7})", with_side({{"lambda_r", "3"}}));
  CHECK(lower.resolved().options.mask_in.lambda_r == 3);
  CHECK(contains(refusal([] {
                   Call("", with_side({{"lambda_r", "3"}, {"mask_in_lambda_r", "7"}})).resolved();
                 }),
                 "--lambda_r 3 (command line) and --mask_in_lambda_r 7 (command line) contradict each other"));
  CHECK(Call("", with_side({{"lambda_r", "3"}, {"mask_in_lambda_r", "3"}})).resolved().options.mask_in.lambda_r == 3);
  // twice is once
  both.resolved();
  CHECK(both.options.mask_in.lambda_r == 3);
}

TEST_CASE("the published configurations") {
  Call fix(config("fix.json"), {{"masker_use_layers", "3,4"}});
  const TrainOptions& f = fix.resolved().options;
  CHECK(f.batch_size == 72);
  CHECK(f.mask_out == TrainOptions::Side{"crossentropy", "", "maximize", "entropy", 1.0, 10.0, 0.001});
  CHECK(f.mask_in == TrainOptions::Side{"crossentropy", "", "maximize", "classification", 1.0, 1.0, 0.001});
  CHECK(f.fixed_classifier);
  CHECK(f.prob_historic == 0.0);
  CHECK(f.save_freq == 100000000);
  Call ca(config("ca.json"), {});
  const TrainOptions& c = ca.resolved().options;
  CHECK(c.mask_out == TrainOptions::Side{"crossentropy", "", "maximize", "entropy", 1.0, 15.0, 0.001});
  CHECK(c.mask_in == f.mask_in);
  CHECK_FALSE(c.fixed_classifier);
  CHECK(c.prob_historic == 0.5);
  CHECK(c.save_freq == 100);
  CHECK(c.batch_size == 72);
}

TEST_CASE("presets of --reproduce") {
  struct Row {
    const char* name;
    double plain, adversarial, prob;
    std::int64_t save_freq;
  };
  for (const Row& row :
       {Row{"F", 2.5, 9, 0, 10000000}, Row{"L", 14, 18, 0, 10000000}, Row{"FL", 7.5, 11, 0.5, 10000000},
        Row{"L100", 10, 17, 0.5, 100}, Row{"L1000", 10, 17, 0.5, 1000}}) {
    for (const bool adversarial : {false, true}) {
      Call call("", {{"reproduce", row.name}, {"adversarial", adversarial ? "true" : "false"}});
      const TrainOptions& o = call.resolved().options;
      INFO(row.name);
      const double lambda = adversarial ? row.adversarial : row.plain;
      CHECK(o.lambda_r == lambda);
      CHECK(o.mask_out.lambda_r == lambda);
      CHECK(o.mask_in.lambda_r == lambda);
      CHECK(o.prob_historic == row.prob);
      CHECK(o.save_freq == row.save_freq);
      CHECK(o.fixed_classifier == (std::string(row.name) == "F"));
      CHECK(o.mask_out.criterion == "crossentropy");
      CHECK(o.mask_out.objective_type == (adversarial ? "classification" : "entropy"));
      CHECK(o.mask_out.objective_direction == (adversarial ? "minimize" : "maximize"));
      CHECK(o.mask_in.criterion == "none");
      CHECK(describe(call.values.origin("prob_historic")) == str("preset (reproduce ", row.name, ")"));
      // what a run saves is read back to the same run
      Call again(to_json(train_options(), &o), {}, false);
      const TrainOptions& p = again.resolved().options;
      CHECK(to_json(train_options(), &p) == to_json(train_options(), &o));
    }
  }
  CHECK(contains(refusal([] {
                   Call("", {{"reproduce", "F"}, {"lambda_r", "3"}}).resolved();
                 }),
                 "the first sets lambda_r to 2.5"));
  CHECK(contains(refusal([] {
                   Call("", {{"reproduce", "L"}, {"fixed_classifier", "true"}}).resolved();
                 }),
                 "the first sets fixed_classifier to false"));
  CHECK(contains(refusal([] { Call("", with_side({{"adversarial", "true"}})).resolved(); }), "needs --reproduce"));
  CHECK(contains(refusal([] { Call("", {{"reproduce", "L10"}}); }), "did you mean L100?"));
}

TEST_CASE("a fixed classifier has no earlier versions") {
  Call plain("", with_side({{"fixed_classifier", "true"}}));
  CHECK(plain.resolved().options.prob_historic == 0);
  CHECK(describe(plain.values.origin("prob_historic")) == "command line (fixed_classifier)");
  Call over_file(R"({"prob_historic": 0.5})", with_side({{"fixed_classifier", "true"}}));
  CHECK(over_file.resolved().options.prob_historic == 0);
  const std::string said = refusal([] {
    Call(R"({"fixed_classifier": true})", with_side({{"prob_historic", "0.5"}})).resolved();
  });
  CHECK(contains(said, "--fixed_classifier true (file my.json) and --prob_historic 0.5 (command line) contradict"));
  CHECK(contains(refusal([] {
                   Call("", with_side({{"fixed_classifier", "true"}, {"zoo_mode", "historic"}})).resolved();
                 }),
                 "zoo_mode historic"));
}

TEST_CASE("contradictions and options without effect are usage errors") {
  const auto said = [](std::vector<std::pair<std::string, std::string>> words) {
    return refusal([&] { Call("", with_side(std::move(words))).resolved(); });
  };
  CHECK(contains(said({{"prob_sample_low", "0.3"}}), "--prob_sample_low has no effect: add_prob_layers is not set"));
  CHECK(contains(said({{"add_prob_layers", "true"}, {"prob_sample_low", "0.9"}}), "lower bound is above"));
  CHECK(contains(said({{"apply_gumbel_tau", "0.5"}}), "--apply_gumbel_tau has no effect"));
  CHECK(contains(said({{"apply_gumbel", "true"}, {"apply_gumbel_tau", "0"}}), "neither positive nor -1"));
  CHECK(contains(said({{"mask_out_lambda_r", "4"}}), "mask_out_criterion is none"));
  CHECK(contains(said({{"do_infill_for_mask_in", "true"}}), "needs an --infiller_model"));
  CHECK(contains(said({{"infiller_model", "blur"}}), "--infiller_model has no effect"));
  CHECK(contains(said({{"cuda_graph", "true"}}), "--cuda_graph has no effect: the device is the CPU"));
  const auto infill = [&](std::vector<std::pair<std::string, std::string>> more) {
    more.emplace_back("do_infill_for_mask_out", "true");
    return said(std::move(more));
  };
  CHECK(contains(infill({{"infiller_model", "pconv"}}), "pconv needs its weights"));
  CHECK(contains(infill({{"infiller_model", "blur"}, {"infiller_path", "x"}}), "infiller_model blur has no weights"));
  CHECK(contains(infill({{"infiller_model", "blur"}, {"train_infiller", "true"}}), "blur cannot be trained here"));
  CHECK(contains(infill({{"infiller_model", "cnn"}, {"lr_infiller", "1"}}), "train_infiller is not set"));
  CHECK(contains(infill({{"infiller_model", "cnn"}, {"infiller_protocol", "strict"}}), "has no effect"));
  CHECK(contains(infill({{"infiller_model", "gan"}}), "dfn_infiller"));
  CHECK(contains(said({{"masker_use_layers", "3,3"}}), "listed twice"));
  CHECK(contains(said({{"masker_use_layers", ""}}), "at least one tap"));
  CHECK(contains(said({{"input_size", "222"}}), "not a multiple of 4"));
  CHECK(contains(said({{"input_size", "16"}}), "--input_size: 16 is below 32"));
  CHECK(contains(said({{"do_val", "true"}}), "--do_val needs --val_json"));
  CHECK(contains(said({{"name", "a/b"}}), "not the name of a folder"));
  CHECK(contains(said({{"resume", "true"}}), "needs the --name"));
  CHECK(contains(said({{"resnet_path", "none"}}), "--resnet_path is missing"));
  CHECK(contains(said({{"fixed_classifier", "true"}, {"momentum", "0.5"}}), "the classifier is fixed"));
  const auto ahead = [&](std::vector<std::pair<std::string, std::string>> more) {
    more.insert(more.end(), {{"clean_ahead", "on"}, {"mask_out_criterion", "crossentropy"}});
    return said(std::move(more));
  };
  CHECK(contains(ahead({}), "--clean_ahead has no effect: the classifier is trained"));
  CHECK(contains(ahead({{"fixed_classifier", "true"}, {"fuse", "false"}}), "no effect: --fuse is false"));
  CHECK(contains(said({{"fixed_classifier", "true"}, {"clean_ahead", "on"}}), "no effect: one side has no criterion"));
  CHECK(contains(ahead({{"fixed_classifier", "true"}, {"infiller_model", "blur"}, {"do_infill_for_mask_in", "true"}}),
                 "no effect: masked images are filled in"));
  CHECK(contains(ahead({{"fixed_classifier", "true"}, {"overfit_one_batch", "true"}}), "there is one batch"));
  CHECK(contains(ahead({{"fixed_classifier", "true"}, {"deterministic", "true"}}), "contradict"));
  CHECK(contains(ahead({{"fixed_classifier", "true"}, {"clean_ahead", "yes"}}), "clean_ahead"));
  CHECK(contains(refusal([] { Call("", {}).resolved(); }), "there is nothing to train for"));
  CHECK(contains(refusal([] { Call("", one_side, false).resolved(); }), "--train_json is missing"));
  // in a file the same is a complete list of options, not a misunderstanding
  Call(R"({"clean_ahead": "on"})", one_side).resolved();
  Call(R"({"prob_sample_low": 0.3, "apply_gumbel_tau": 0.5})", one_side).resolved();
  Call sorted("", with_side({{"masker_use_layers", "4,3"}}));
  CHECK(sorted.resolved().options.masker_use_layers == std::vector<std::int64_t>{3, 4});
}

TEST_CASE("the configuration of kldivergence") {
  const std::string good = R"({"prior": "divide", "kl": "backward", "loss_on_coc": true, "apply_class_weight": false})";
  const KlOptions kl = parse_kl_options(good, "c");
  CHECK(kl.prior == "divide");
  CHECK(kl.kl == "backward");
  CHECK(kl.loss_on_coc);
  CHECK(kl.nothing_class == -1);
  Call("", {{"mask_out_criterion", "kldivergence"}, {"mask_out_criterion_config", good}}).resolved();
  const auto said = [](const std::string& text) {
    return refusal([&] {
      Call("", {{"mask_out_criterion", "kldivergence"}, {"mask_out_criterion_config", text}}).resolved();
    });
  };
  CHECK(contains(said("none"), "needs --mask_out_criterion_config"));
  CHECK(contains(said(R"({"prior": "divide", "loss_on_coc": true, "apply_class_weight": false})"),
                 "--mask_out_criterion_config: kl is missing"));
  CHECK(contains(said(R"({"priors": "divide"})"), "did you mean prior?"));
  CHECK(contains(said(R"({"prior": "multiply"})"), "not one of subtract, divide"));
  CHECK(contains(said("absent.json"), "absent.json"));
  CHECK(contains(refusal([&] {
                   Call("", with_side({{"mask_in_criterion_config", good}})).resolved();
                 }),
                 "only kldivergence has a configuration"));
}

TEST_CASE("resuming: what belongs to the run stays") {
  TrainOptions before, now;
  now.epochs = 90;
  now.workers = 1;
  check_resumed(train_options(), &before, &now, "args.json");
  now.batch_size = 4;
  CHECK(refusal([&] { check_resumed(train_options(), &before, &now, "args.json"); }) ==
        "--resume: the run was started with batch_size 128 ('args.json'), not 4\n"
        "leave --batch_size out, or start a new run under another --name");
}
