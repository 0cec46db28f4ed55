#include "train/shared_options.h"

#include <cmath>

#include "base/option_rules.h"

namespace pen {

void check_loss_scale(const OptionValues& values, const std::string& precision, double scale) {
  rules::check_effect(values, precision == "fp16", {"loss_scale"}, "--precision is not fp16");
  int exponent = 0;
  PEN_CHECK_AS(usage, std::frexp(scale, &exponent) == 0.5, "--loss_scale ", scale, " is not a power of two");
}

}  // namespace pen
