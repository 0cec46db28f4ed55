// The options of commands: defaults, types, bounds, JSON, and which source wins.
#include <doctest/doctest.h>

#include <set>

#include "base/nearest.h"
#include "eval/options.h"
#include "tests/option_calls.h"
#include "train/bench_options.h"
#include "train/fit_options.h"

using namespace pen;
using test::Call, test::contains, test::refusal, test::with_side;

TEST_CASE("edit distance counts insertions, deletions, substitutions and swaps") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("lr", "lr") == 0);
  CHECK(edit_distance("lamda", "lambda") == 1);
  CHECK(edit_distance("epohcs", "epochs") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(nearest("batch-sise", {"batch_size", "epochs"}) == "batch_size");
  CHECK(nearest("epo", {"batch_size", "epochs"}) == "epochs");
  CHECK(nearest("output-path", {"epochs", "output"}) == "output");
  CHECK(nearest("outputs_of_it", {"epochs", "output"}) == "");
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
