#include <doctest/doctest.h>

#include <set>

#include "base/file.h"
#include "base/nearest.h"
#include "base/options.h"
#include "eval/options.h"
#include "tests/paths.h"
#include "train/bench_options.h"
#include "train/fit_options.h"
#include "train/kl_options.h"
#include "train/options.h"

using namespace pen;

namespace {

// The message of the usage error that `body` has to throw, with its hint on a second line.
template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    return error.hint().empty() ? error.what() : std::string(error.what()) + "\n" + error.hint();
  }
  FAIL_CHECK("no error");
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Options as a call gives them: a file's JSON first, then words of the command line. `needed` adds what every training
// has to be told.
struct Call {
  TrainOptions options;
  OptionValues values{train_options(), &options};

  Call(const std::string& json, const std::vector<std::pair<std::string, std::string>>& words, bool needed = true) {
    if (!json.empty()) values.read_json(json, "my.json");
    if (needed)
      for (const auto* name : {"train_json", "output_path", "resnet_path"}) set(name, "x");
    for (const auto& [name, text] : words) set(name, text);
  }
  void set(const std::string& name, const std::string& text) {
    values.set_text(name, text, {OptionSource::command_line, {}, {}});
  }
  Call& resolved() {
    values.check_required();
    resolve(options, values);
    return *this;
  }
};

const std::vector<std::pair<std::string, std::string>> one_side = {{"mask_in_criterion", "crossentropy"}};
std::vector<std::pair<std::string, std::string>> with_side(std::vector<std::pair<std::string, std::string>> words) {
  words.push_back(one_side[0]);
  return words;
}

std::string config(const std::string& name) {
  const std::string path = pen::test::tests_folder() + "/../configs/" + name;
  const auto bytes = read_file(path, 1 << 16);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("edit distance counts insertions, deletions, substitutions and swaps") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("lr", "lr") == 0);
  CHECK(edit_distance("lamda", "lambda") == 1);
  CHECK(edit_distance("epohcs", "epochs") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(nearest("batch-sise", {"batch_size", "epochs"}) == "batch_size");
  CHECK(nearest("epo", {"batch_size", "epochs"}) == "epochs");
  CHECK(nearest("quaternion", {"batch_size", "epochs"}) == "");
  CHECK(nearest("x", {"lr", "q"}) == "");
}

TEST_CASE("the defaults of the reference") {
  const TrainOptions o;
  const auto& t = train_options();
  const auto text = [&](const char* name) { return format_value(t.at(name), &o); };
  const std::vector<std::pair<const char*, const char*>> expected = {{"name", "random"},
                                                                     {"workers", "4"},
                                                                     {"epochs", "60"},
                                                                     {"batch_size", "128"},
                                                                     {"perc_of_training", "0.2"},
                                                                     {"do_val", "false"},
                                                                     {"lr", "0.001"},
                                                                     {"lr_casme", "0.001"},
                                                                     {"lrde", "20"},
                                                                     {"momentum", "0.9"},
                                                                     {"weight_decay", "0.0001"},
                                                                     {"upsample", "nearest"},
                                                                     {"fixed_classifier", "false"},
                                                                     {"prob_historic", "0.5"},
                                                                     {"save_freq", "1000"},
                                                                     {"actual_save_freq", "1"},
                                                                     {"f_size", "30"},
                                                                     {"resnet_path", "none"},
                                                                     {"lambda_r", "none"},
                                                                     {"lambda_tv", "none"},
                                                                     {"masker_use_layers", "0,1,2,3,4"},
                                                                     {"mask_in_criterion", "none"},
                                                                     {"mask_in_criterion_config", "none"},
                                                                     {"mask_in_objective_direction", "maximize"},
                                                                     {"mask_in_objective_type", "entropy"},
                                                                     {"mask_in_weight", "1"},
                                                                     {"mask_in_lambda_r", "10"},
                                                                     {"mask_in_lambda_tv", "none"},
                                                                     {"mask_out_criterion", "none"},
                                                                     {"mask_out_objective_direction", "maximize"},
                                                                     {"mask_out_objective_type", "entropy"},
                                                                     {"mask_out_weight", "1"},
                                                                     {"mask_out_lambda_r", "10"},
                                                                     {"mask_out_lambda_tv", "none"},
                                                                     {"reproduce", "none"},
                                                                     {"adversarial", "false"},
                                                                     {"add_prob_layers", "false"},
                                                                     {"prob_sample_low", "0.25"},
                                                                     {"prob_sample_high", "0.75"},
                                                                     {"prob_loss_func", "l1"},
                                                                     {"add_class_ids", "false"},
                                                                     {"apply_gumbel", "false"},
                                                                     {"apply_gumbel_tau", "0.1"},
                                                                     {"gumbel_output_mode", "hard"},
                                                                     {"infiller_model", "none"},
                                                                     {"infiller_path", "none"},
                                                                     {"train_infiller", "false"},
                                                                     {"do_infill_for_mask_in", "false"},
                                                                     {"do_infill_for_mask_out", "false"}};
  for (const auto& [name, value] : expected) CHECK_MESSAGE(text(name) == value, name);
  for (const auto* name : {"train_json", "val_json", "output_path"}) CHECK(t.find(name) != nullptr);
  for (const auto* name : {"log_buffer", "casms_path", "log_path"}) CHECK(t.at(name).ignored);
}

TEST_CASE("in every table: defaults lie within their bounds, options are documented, JSON gives the same back") {
  for (const OptionTable* table :
       {&train_options(), &fit_options(), &bench_options(), &score_options(), &explain_options()}) {
    const auto defaults = table->defaults();
    std::set<std::string> names;
    for (const Option& option : table->options()) {
      INFO(option.name);
      CHECK(option.doc.size() > 5);
      CHECK(names.insert(option.name).second);
      for (const std::string& alias : option.aliases) CHECK(names.insert(alias).second);
      if (option.ignored || option.required || option.type == OptionType::texts) continue;
      const auto copy = table->defaults();
      OptionValues values(*table, copy.get());
      const std::string text = format_value(option, defaults.get());
      values.set_text(option, text, {});
      CHECK(format_value(option, copy.get()) == text);
    }
    const auto copy = table->defaults();
    OptionValues values(*table, copy.get());
    for (const Option& option : table->options())
      if (option.required) values.set_text(option, option.choices.empty() ? "x" : option.choices[0], {});
    const std::string json = to_json(*table, copy.get());
    const auto read_back = table->defaults();
    OptionValues(*table, read_back.get()).read_json(json, "args.json");
    CHECK(to_json(*table, read_back.get()) == json);
  }
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
  CHECK(contains(bench({{"what", "loader"}}), "the folder of images is missing"));
  CHECK(contains(bench({{"what", "step"}, {"path", "x"}}), "what is 'x' for?"));
  CHECK(contains(bench({{"what", "step"}, {"workers", "2"}}), "--workers has no effect"));
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

TEST_CASE("values are typed and bounded") {
  const auto said = [](const std::string& name, const std::string& text) {
    return refusal([&] { Call("", {{name, text}}); });
  };
  CHECK(said("lr", "fast") == "--lr: 'fast' is not a number");
  CHECK(said("lr", "nan") == "--lr: 'nan' is not a number");
  CHECK(said("lr", "0.1x") == "--lr: '0.1x' is not a number");
  CHECK(said("epochs", "2.5") == "--epochs: 2.5 is not a whole number");
  CHECK(said("epochs", "") == "--epochs: '' is not a whole number");
  CHECK(said("epochs", "99999999999999999999999") == "--epochs: 1e+23 is not a whole number");
  CHECK(said("batch_size", "0") == "--batch_size: 0 is out of bounds, it has to be between 1 and 65536");
  CHECK(said("perc_of_training", "0") == "--perc_of_training: 0 is out of bounds, it has to be above 0 and at most 1");
  CHECK(said("do_val", "perhaps") == "--do_val: 'perhaps' is neither true nor false");
  CHECK(said("gumbel_output_mode", "sigmoit") ==
        "--gumbel_output_mode: 'sigmoit' is not one of hard, soft, sigmoid, logits\ndid you mean sigmoid?");
  CHECK(contains(said("masker_use_layers", "3,5"), "between 0 and 4"));
  CHECK(contains(said("masker_use_layers", "3,,4"), "'' is not a whole number"));
  CHECK(said("train_json", "") == "--train_json: its value is empty");
  CHECK(Call("", {{"save_freq", "1e8"}}).options.save_freq == 100000000);
  CHECK(Call("", {{"apply_gumbel_tau", "-1"}}).options.apply_gumbel_tau == -1);
  CHECK(Call("", {{"lambda_tv", "none"}}).options.lambda_tv == std::nullopt);
  CHECK(Call("", {{"masker-use-layers", "3, 4"}}).options.masker_use_layers == std::vector<std::int64_t>{3, 4});
}

TEST_CASE("JSON: types are checked, names are known") {
  const auto said = [](const std::string& json) { return refusal([&] { Call(json, {}); }); };
  CHECK(said(R"({"lr": "0.1"})") == "'my.json': lr has to be a number, found a text \"0.1\"");
  CHECK(said(R"({"epochs": 2.5})") == "'my.json': epochs: 2.5 is not a whole number");
  CHECK(said(R"({"epochs": true})") == "'my.json': epochs has to be a whole number, found a boolean");
  CHECK(said(R"({"fixed_classifier": "yes"})") ==
        "'my.json': fixed_classifier has to be true or false, found a text \"yes\"");
  CHECK(said(R"({"fixed_classifier": 2})") == "'my.json': fixed_classifier has to be true or false, found a number");
  CHECK(said(R"({"lamda_tv": 1})") == "'my.json': unknown option 'lamda_tv'\ndid you mean lambda_tv?");
  CHECK(said(R"({"lr": null})") == "'my.json': lr has to be a number, found null");
  CHECK(said(R"({"lr": 1, "lr": 2})") == "'my.json': lr is there twice");
  CHECK(said(R"({"lr": -1})") == "'my.json': lr: -1 is out of bounds, it has to be at least 0");
  CHECK(said(R"({"lr": NaN})") == "'my.json': lr: 'nan' is not a number");
  CHECK(said(R"({"resume": true})") == "'my.json': resume concerns one call and can only be given on the command line");
  CHECK(contains(said("[1]"), "options are one JSON object"));
  CHECK(contains(said("{\"lr\": 1"), "not valid JSON at line 1"));
  // what the reference's files hold
  CHECK(Call(R"({"do_infill_for_mask_in": 1, "log_buffer": 10, "casms_path": "x", "lambda_r": null})", {})
            .options.do_infill_for_mask_in);
  CHECK(Call(R"({"masker_use_layers": "3,4"})", {}).options.masker_use_layers == std::vector<std::int64_t>{3, 4});
  CHECK(Call(R"({"masker-use-layers": [2, 4]})", {}).options.masker_use_layers == std::vector<std::int64_t>{2, 4});
  CHECK(Call(R"({"save_freq": 100000000.0})", {}).options.save_freq == 100000000);
}

TEST_CASE("the command line wins over the file, the file over the default") {
  Call call(R"({"lr": 0.5, "epochs": 3})", with_side({{"lr", "0.25"}}));
  call.resolved();
  CHECK(call.options.lr == 0.25);
  CHECK(call.options.epochs == 3);
  CHECK(describe(call.values.origin("lr")) == "command line");
  CHECK(describe(call.values.origin("epochs")) == "file my.json");
  CHECK(describe(call.values.origin("momentum")) == "default");
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
  CHECK(contains(refusal([] { Call("", {}).resolved(); }), "there is nothing to train for"));
  CHECK(contains(refusal([] { Call("", one_side, false).resolved(); }), "--train_json is missing"));
  // in a file the same is a complete list of options, not a misunderstanding
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
