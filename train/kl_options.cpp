#include "train/kl_options.h"

#include "base/options.h"

namespace pen {
namespace {

const OptionTable& kl_table() {
  static const OptionTable table = [] {
    OptionsOf<KlOptions> t;
    t.add("prior", &KlOptions::prior, "how probabilities are compared with the prior")
        .one_of({"subtract", "divide"})
        .must_be_given();
    t.add("kl", &KlOptions::kl, "direction of the divergence").one_of({"forward", "backward"}).must_be_given();
    t.add("loss_on_coc", &KlOptions::loss_on_coc, "only images that are right when clean").must_be_given();
    t.add("apply_class_weight", &KlOptions::apply_class_weight, "weigh by class").must_be_given();
    t.add("regularize_always", &KlOptions::regularize_always, "lambda_r times the area");
    t.add("nothing_class", &KlOptions::nothing_class, "class without this loss").at_least(0);
    t.add("nothing_class_reg_weight", &KlOptions::nothing_class_reg_weight, "its regulariser's weight").at_least(0);
    return OptionTable(t);
  }();
  return table;
}

}  // namespace

KlOptions parse_kl_options(const std::string& json_or_path, const std::string& option) {
  KlOptions options;
  OptionValues values(kl_table(), &options);
  const std::size_t first = json_or_path.find_first_not_of(" \t\n");
  if (first != std::string::npos && json_or_path[first] == '{')
    values.read_json(json_or_path, "--" + option);
  else
    values.read_json_file(json_or_path);
  values.check_required("--" + option + ": ");
  PEN_CHECK_AS(usage, !options.nothing_class_reg_weight || options.nothing_class >= 0, "--", option,
               ": nothing_class_reg_weight needs a nothing_class");
  return options;
}

}  // namespace pen
