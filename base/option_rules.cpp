#include "base/option_rules.h"

#include <algorithm>

namespace pen::rules {

void contradiction(const OptionValues& values, const std::string& a, const std::string& b, const std::string& why) {
  const auto with_value = [&](const std::string& name) {
    return str("--", name, " ", format_value(values.table().at(name), values.object()), " (",
               describe(values.origin(name)), ")");
  };
  fail(ErrorKind::usage, str(with_value(a), " and ", with_value(b), " contradict each other: ", why),
       str("leave out --", a, " or --", b));
}

void check_effect(const OptionValues& values, bool has_effect, const std::vector<std::string>& names,
                  const std::string& why) {
  if (has_effect) return;
  for (const std::string& name : names)
    PEN_CHECK_AS(usage,
                 values.source(name) != OptionSource::command_line || !values.origin(name).via.empty() ||
                     values.is_default_value(name),
                 "--", name, " has no effect: ", why);
}

void check_input_size(std::int64_t size) {
  PEN_CHECK_AS(usage, size == 0 || size >= 32, "--input_size: ", size, " is below 32");
  PEN_CHECK_AS(usage, size % 4 == 0, "--input_size: ", size, " is not a multiple of 4");
}

void check_taps(std::vector<std::int64_t>& taps) {
  PEN_CHECK_AS(usage, !taps.empty(), "--masker_use_layers: at least one tap is needed");
  std::sort(taps.begin(), taps.end());
  PEN_CHECK_AS(usage, std::adjacent_find(taps.begin(), taps.end()) == taps.end(),
               "--masker_use_layers: a tap is listed twice");
}

void check_run_name(const std::string& name, bool resume) {
  PEN_CHECK_AS(usage, !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos, "--name: '",
               name, "' is not the name of a folder; --output_path says where it lies");
  PEN_CHECK_AS(usage, !resume || name != "random", "--resume needs the --name of the run that goes on");
}

}  // namespace pen::rules
