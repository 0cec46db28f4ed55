#include "eval/report/extremes.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/nearest.h"

namespace pen::eval {

std::vector<std::size_t> metric_columns(const ImageResults& results) {
  std::vector<std::size_t> out;
  for (std::size_t c = 0; c < results.columns.size(); ++c) {
    const std::string& name = results.columns[c];
    if (name != "label" && name != "predicted" && !name.ends_with("_of_boxes")) out.push_back(c);
  }
  return out;
}

std::size_t metric_column(const ImageResults& results, const std::string& name) {
  std::vector<std::string> known;
  for (const std::size_t c : metric_columns(results)) {
    if (results.columns[c] == name) return c;
    known.push_back(results.columns[c]);
  }
  fail(ErrorKind::usage, str("'", results.file, "' has no metric '", name, "'"), did_you_mean(name, known));
}

std::vector<std::size_t> extremes(const ImageResults& results, std::size_t column, std::size_t each) {
  const std::size_t columns = results.columns.size();
  const auto value = [&](std::size_t i) { return results.values.at(i * columns + column); };
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < results.images.size(); ++i)
    if (!std::isnan(value(i))) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
  if (order.size() > 2 * each)
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(each), order.end() - static_cast<std::ptrdiff_t>(each));
  return order;
}

}  // namespace pen::eval
