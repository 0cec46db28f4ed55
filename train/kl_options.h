// mask_in_criterion_config, mask_out_criterion_config: what a kldivergence criterion is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pen {

struct KlOptions {
  std::string prior;                // subtract | divide: how probabilities meet the prior to say what is predicted
  std::string kl;                   // forward: -sum prior*log q | backward: -sum q*(log prior - log q)
  bool loss_on_coc = false;         // only images that are right when clean
  bool apply_class_weight = false;  // weigh loss and regulariser by the class
  bool regularize_always = false;   // regulariser lambda_r * area
  std::int64_t nothing_class = -1;  // a class whose images have no such loss; -1: there is none
  std::optional<double> nothing_class_reg_weight;  // weight of the regulariser for that class
};

// From a JSON text or the path of a JSON file. `option` names the source in messages. Missing, unknown or wrong
// entries: a usage error.
KlOptions parse_kl_options(const std::string& json_or_path, const std::string& option);

}  // namespace pen
