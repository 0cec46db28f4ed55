#include "eval/judging/compare.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"
#include "eval/judging/metrics.h"

namespace pen::eval {
namespace {

// Rows of RFC 4180's CSV; quoted cells may hold commas, quotes (doubled) and line breaks.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& file) {
  std::vector<std::vector<std::string>> rows;
  std::size_t at = 0;
  while (at < text.size()) {
    rows.emplace_back();
    for (bool more = true; more;) {
      std::string cell;
      if (at < text.size() && text[at] == '"') {
        for (++at;;) {
          PEN_CHECK_AS(data, at < text.size(), "'", file, "' row ", rows.size(), ": a quote is not closed");
          if (text[at] != '"')
            cell += text[at++];
          else if (at + 1 < text.size() && text[at + 1] == '"')
            cell += '"', at += 2;
          else
            break;
        }
        ++at;
      } else {
        while (at < text.size() && text[at] != ',' && text[at] != '\n') cell += text[at++];
        if (cell.ends_with('\r')) cell.pop_back();
      }
      if (at < text.size() && text[at] == '\r') ++at;
      more = at < text.size() && text[at] == ',';
      PEN_CHECK_AS(data, more || at >= text.size() || text[at] == '\n', "'", file, "' row ", rows.size(),
                   ": text after a closing quote");
      ++at;
      rows.back().push_back(std::move(cell));
    }
  }
  return rows;
}

// NaN for an empty cell; false if it is neither empty nor a number.
bool parse_number(const std::string& cell, double& value) {
  value = std::numeric_limits<double>::quiet_NaN();
  if (cell.empty()) return true;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return error == std::errc() && end == cell.data() + cell.size() && std::isfinite(value);
}

bool lower_is_better(const std::string& name) {
  static const std::set<std::string> of_score{"LE", "OM", "SM"};
  for (const Metric& m : metrics())
    if (m.name == name) return m.lower_is_better;
  return of_score.contains(name);
}

}  // namespace

ImageResults read_image_results(const std::string& path) {
  namespace fs = std::filesystem;
  std::string csv = path;
  std::error_code error;
  if (path.ends_with(".json")) {
    const std::string stem = path.substr(0, path.size() - 5);
    csv = fs::exists(stem + ".images.csv", error) ? stem + ".images.csv" : stem + ".csv";
    PEN_CHECK_AS(data, fs::exists(csv, error), "'", path, "' has no results of each image beside it: '", csv,
                 "' is not there");
  }
  const std::vector<std::uint8_t> bytes = read_file(csv, std::uint64_t{1} << 32);
  ImageResults out = parse_image_results({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, csv);
  out.file = path;
  return out;
}

ImageResults parse_image_results(std::string_view text, const std::string& csv) {
  ImageResults out;
  out.file = csv;
  const auto rows = parse_csv(text, csv);
  PEN_CHECK_AS(data, rows.size() >= 2 && rows[0].size() >= 2, "'", csv, "' has no results of images");
  for (std::size_t r = 1; r < rows.size(); ++r)
    PEN_CHECK_AS(data, rows[r].size() == rows[0].size(), "'", csv, "' row ", r + 1, " has ", rows[r].size(),
                 " cells, the header ", rows[0].size());

  std::vector<std::size_t> numeric;
  for (std::size_t c = 1; c < rows[0].size(); ++c) {
    if (rows[0][c] == "protocol") {
      out.protocol = rows[1][c];
      for (std::size_t r = 1; r < rows.size(); ++r)
        PEN_CHECK_AS(data, rows[r][c] == out.protocol, "'", csv, "' row ", r + 1, " is of protocol '", rows[r][c],
                     "', the rows before of '", out.protocol, "'");
      continue;
    }
    double value = 0;
    bool numbers = true;
    for (std::size_t r = 1; r < rows.size() && numbers; ++r) numbers = parse_number(rows[r][c], value);
    if (!numbers) continue;
    numeric.push_back(c);
    out.columns.push_back(rows[0][c]);
  }
  std::set<std::string> seen;
  for (std::size_t r = 1; r < rows.size(); ++r) {
    PEN_CHECK_AS(data, seen.insert(rows[r][0]).second, "'", csv, "' row ", r + 1, ": image '", rows[r][0],
                 "' is there twice");
    out.images.push_back(rows[r][0]);
    for (const std::size_t c : numeric) {
      double value = 0;
      parse_number(rows[r][c], value);
      out.values.push_back(value);
    }
  }
  return out;
}

Comparison compare(const ImageResults& a, const ImageResults& b, const CompareOptions& options) {
  PEN_CHECK_AS(data, a.protocol.empty() || b.protocol.empty() || a.protocol == b.protocol, "'", a.file, "' is of the ",
               a.protocol, " protocol, '", b.file, "' of the ", b.protocol, " protocol");
  Comparison out{a.file, b.file, a.protocol.empty() ? b.protocol : a.protocol, 0, 0, {}};
  std::unordered_map<std::string, std::size_t> in_b;
  for (std::size_t i = 0; i < b.images.size(); ++i) in_b[b.images[i]] = i;
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < a.images.size(); ++i) {
    const auto found = in_b.find(a.images[i]);
    if (found != in_b.end())
      pairs.emplace_back(i, found->second);
    else if (!options.common)
      fail(ErrorKind::data, str("image '", a.images[i], "' of '", a.file, "' is not in '", b.file, "'"),
           "--common compares the images that both have");
  }
  if (pairs.size() < b.images.size() && !options.common)
    fail(ErrorKind::data,
         str("'", b.file, "' has ", b.images.size() - pairs.size(), " images that '", a.file, "' lacks"),
         "--common compares the images that both have");
  PEN_CHECK_AS(data, !pairs.empty(), "'", a.file, "' and '", b.file, "' have no image in common");
  out.images = static_cast<std::int64_t>(pairs.size());
  out.left_out = static_cast<std::int64_t>(a.images.size() + b.images.size() - 2 * pairs.size());

  std::vector<std::string> wanted = a.columns;
  if (!options.columns.empty()) wanted = words_of(options.columns, "--columns");
  for (const std::string& name : wanted) {
    const auto ca = std::find(a.columns.begin(), a.columns.end(), name),
               cb = std::find(b.columns.begin(), b.columns.end(), name);
    if (ca == a.columns.end() || cb == b.columns.end()) {
      if (options.columns.empty()) continue;
      const ImageResults& lacking = ca == a.columns.end() ? a : b;
      fail(ErrorKind::data, str("'", lacking.file, "' has no column of numbers '", name, "'"),
           did_you_mean(name, lacking.columns));
    }
    PairedColumn column{name, 0, 0, 0, {}, 0, 0, 0};
    std::vector<double> differences;
    for (const auto& [i, k] : pairs) {
      const double va = a.values[i * a.columns.size() + static_cast<std::size_t>(ca - a.columns.begin())];
      const double vb = b.values[k * b.columns.size() + static_cast<std::size_t>(cb - b.columns.begin())];
      if (std::isnan(va) || std::isnan(vb)) continue;
      column.a += va;
      column.b += vb;
      differences.push_back(va - vb);
      const bool better = lower_is_better(name) ? va < vb : va > vb;
      ++(va == vb ? column.ties : better ? column.a_wins : column.b_wins);
    }
    if (differences.empty()) continue;
    column.pairs = static_cast<std::int64_t>(differences.size());
    column.a /= static_cast<double>(column.pairs);
    column.b /= static_cast<double>(column.pairs);
    column.difference =
        bootstrap(differences, {options.bootstrap, options.confidence, static_cast<std::uint64_t>(options.seed)});
    out.columns.push_back(column);
  }
  PEN_CHECK_AS(data, !out.columns.empty(), "'", a.file, "' and '", b.file, "' have no column of numbers in common");
  return out;
}

Table comparison_table(const Comparison& comparison) {
  Table table({"metric", "A", "B", "A - B", "low", "high", "A better", "B better", "ties", "images", "protocol"});
  for (const PairedColumn& c : comparison.columns)
    table.add({c.name, fixed(c.a, 4), fixed(c.b, 4), fixed(c.difference.mean, 4), fixed(c.difference.low, 4),
               fixed(c.difference.high, 4), str(c.a_wins), str(c.b_wins), str(c.ties), str(c.pairs),
               comparison.protocol.empty() ? "-" : comparison.protocol});
  return table;
}

std::string comparison_json(const Comparison& comparison, const CompareOptions& options) {
  JsonWriter json(true);
  json.begin_object().field("A", comparison.a).field("B", comparison.b).field("images", comparison.images);
  json.field("left_out", comparison.left_out).field("protocol", comparison.protocol);
  json.field("resamples", options.bootstrap).field("level", options.confidence).key("metrics").begin_object();
  for (const PairedColumn& c : comparison.columns) {
    json.key(c.name).begin_object().field("A", c.a).field("B", c.b).field("difference", c.difference.mean);
    json.field("low", c.difference.low).field("high", c.difference.high).field("A_better", c.a_wins);
    json.field("B_better", c.b_wins).field("ties", c.ties).field("images", c.pairs).end_object();
  }
  json.end_object().end_object();
  return json.text() + "\n";
}

}  // namespace pen::eval
