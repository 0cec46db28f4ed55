#include "train/criteria.h"

#include "base/json.h"
#include "train/kl_options.h"

namespace pen {
namespace {

// A JSON list of one positive weight per class.
std::vector<double> read_class_weights(const std::string& path, std::int64_t classes) {
  if (path.empty()) return std::vector<double>(static_cast<std::size_t>(classes), 1.0 / 1000);
  const rapidjson::Document json = parse_json_file(path, ErrorKind::data);
  PEN_CHECK_AS(data, json.IsArray() && json.Size() == static_cast<rapidjson::SizeType>(classes), "class_weights '",
               path, "' is not a JSON list of ", classes, " numbers");
  std::vector<double> out;
  for (const auto& v : json.GetArray()) {
    PEN_CHECK_AS(data, v.IsNumber() && v.GetDouble() > 0, "class_weights '", path, "': entry ", out.size(),
                 " is not a positive number");
    out.push_back(v.GetDouble());
  }
  return out;
}

}  // namespace

std::unique_ptr<Criterion> make_criterion(const TrainOptions& o, MaskSide side, std::int64_t classes) {
  const TrainOptions::Side& s = side == MaskSide::in ? o.mask_in : o.mask_out;
  if (s.criterion == "none") return nullptr;
  const bool squared = o.prob_loss_func == "l2";
  if (s.criterion == "kldivergence") {
    const std::string name = side == MaskSide::in ? "mask_in_criterion_config" : "mask_out_criterion_config";
    const KlOptions kl = parse_kl_options(s.criterion_config, name);
    DivergenceOptions d;
    d.divide = kl.prior == "divide";
    d.backward = kl.kl == "backward";
    d.loss_on_coc = kl.loss_on_coc;
    d.apply_class_weight = kl.apply_class_weight;
    d.regularize_always = kl.regularize_always;
    if (kl.nothing_class >= 0) d.nothing_class = kl.nothing_class;
    d.nothing_class_reg_weight = kl.nothing_class_reg_weight.value_or(1.0);
    d.lambda_r = s.lambda_r;
    d.lambda_tv = s.lambda_tv;
    d.add_prob_layers = o.add_prob_layers;
    d.prob_squared = squared;
    d.class_weights = read_class_weights(o.class_weights, classes);
    return make_divergence_criterion(d);
  }
  CrossEntropyOptions c;
  c.side = side;
  c.maximize = s.objective_direction == "maximize";
  c.entropy = s.objective_type == "entropy";
  c.lambda_r = s.lambda_r;
  c.lambda_tv = s.lambda_tv;
  c.add_prob_layers = o.add_prob_layers;
  c.prob_squared = squared;
  return make_cross_entropy_criterion(c);
}

}  // namespace pen
