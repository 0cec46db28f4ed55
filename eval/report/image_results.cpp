#include "eval/report/image_results.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "base/nearest.h"

namespace pen::eval {
namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 31;

std::optional<double> number(const std::string& cell) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<std::vector<std::string>> parse_csv(const std::string& text, const std::string& name) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string cell;
  bool quoted = false, row_begun = false;
  const auto end_row = [&] {
    row.push_back(std::move(cell));
    cell.clear();
    PEN_CHECK_AS(data, rows.empty() || row.size() == rows[0].size(), "'", name, "', row ", rows.size() + 1, ": ",
                 row.size(), " cells, expected ", rows[0].size());
    rows.push_back(std::move(row));
    row.clear();
    row_begun = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"')
        cell += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        cell += text[++i];
      else
        quoted = false;
      continue;
    }
    row_begun = true;
    if (c == '"' && cell.empty()) {
      quoted = true;
    } else if (c == ',') {
      row.push_back(std::move(cell));
      cell.clear();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r' || i + 1 == text.size() || text[i + 1] != '\n') {
      cell += c;
    }
  }
  PEN_CHECK_AS(data, !quoted, "'", name, "', row ", rows.size() + 1, ": a quote is not closed");
  if (row_begun) end_row();
  return rows;
}

std::size_t ImageResults::metric(const std::string& name) const {
  const auto it = std::find(metrics.begin(), metrics.end(), name);
  if (it != metrics.end()) return static_cast<std::size_t>(it - metrics.begin());
  fail(ErrorKind::usage, str("the per-image results have no metric '", name, "'"), did_you_mean(name, metrics));
}

ImageResults read_image_results(const std::string& file) {
  const std::vector<std::uint8_t> bytes = read_file(file, largest_file);
  const auto rows = parse_csv({bytes.begin(), bytes.end()}, file);
  PEN_CHECK_AS(data, rows.size() >= 2, "'", file, "' holds no results of images");
  const auto path = std::find(rows[0].begin(), rows[0].end(), "path");
  PEN_CHECK_AS(data, path != rows[0].end(), "'", file, "' has no column 'path': is it of score --per_image?");
  const auto path_column = static_cast<std::size_t>(path - rows[0].begin());
  ImageResults out;
  std::vector<std::size_t> columns;
  for (std::size_t c = 0; c < rows[0].size(); ++c) {
    if (c == path_column || rows[0][c] == "label" || rows[0][c] == "predicted") continue;
    // Lists (F1_of_boxes) are no numbers; a column that is empty everywhere is none either.
    bool any = false, all = true;
    for (std::size_t r = 1; r < rows.size() && all; ++r) {
      all = rows[r][c].empty() || number(rows[r][c]).has_value();
      any = any || !rows[r][c].empty();
    }
    if (!any || !all || rows[0][c].ends_with("_of_boxes")) continue;
    columns.push_back(c);
    out.metrics.push_back(rows[0][c]);
  }
  for (std::size_t r = 1; r < rows.size(); ++r) {
    ImageResult image{rows[r][path_column], {}};
    for (const std::size_t c : columns)
      image.values.push_back(number(rows[r][c]).value_or(std::numeric_limits<double>::quiet_NaN()));
    out.images.push_back(std::move(image));
  }
  return out;
}

std::vector<std::size_t> extremes(const ImageResults& results, std::size_t metric, std::size_t each) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < results.images.size(); ++i)
    if (!std::isnan(results.images[i].values.at(metric))) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return results.images[a].values[metric] > results.images[b].values[metric];
  });
  if (order.size() > 2 * each)
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(each), order.end() - static_cast<std::ptrdiff_t>(each));
  return order;
}

}  // namespace pen::eval
