// Rules that the options of several commands share. All refusals are usage errors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"

namespace pen::rules {

// Names both options with their values and origins.
[[noreturn]] void contradiction(const OptionValues& values, const std::string& a, const std::string& b,
                                const std::string& why);

// An option given on the command line that could not change anything is a misunderstanding; in a file it may belong to
// a complete list of options and is let pass.
void check_effect(const OptionValues& values, bool has_effect, const std::vector<std::string>& names,
                  const std::string& why);

// Taps are a quarter of the input wide, and the mask four times a tap. 0 means that another file says it.
void check_input_size(std::int64_t size);

// Taps of the classifier: at least one, none twice. Sorts them, because the masker concatenates in tap order.
void check_taps(std::vector<std::int64_t>& taps);

// A run's name is the name of one folder; a run that goes on has a name of its own.
void check_run_name(const std::string& name, bool resume);

}  // namespace pen::rules
