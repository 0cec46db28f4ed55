// What `attribute` does once its device is open; `explain --method` does the same.
#pragma once

#include "eval/attribution/run_attribute.h"

namespace pen::cli {

// Runs, prints a line for each map with --json, and gives the exit code.
int run_attribute(const AttributeOptions& options, Device device);

}  // namespace pen::cli
