// The metrics that maps are judged by, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pen::eval {

// What a metric has to know beside the maps.
enum class MetricNeeds : unsigned char { nothing, classifier, boxes, masks, truth, method };

struct Metric {
  std::string_view name;
  MetricNeeds needs;  // truth: boxes or masks; method: more maps of changed images
  bool lower_is_better;
  int decimals;            // in tables
  std::string_view words;  // what it is, for people
};

// In the order of tables.
const std::vector<Metric>& metrics();
// An unknown name is a usage error that suggests the nearest.
const Metric& metric(std::string_view name);
std::vector<std::string> metric_names();

}  // namespace pen::eval
