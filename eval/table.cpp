#include "eval/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace pen::eval {
namespace {

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// Characters, not bytes: UTF-8 continuation bytes do not widen a column.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Table::Table(std::vector<std::string> columns) : columns_(std::move(columns)) {
  PEN_CHECK(!columns_.empty(), "a table needs columns");
}

void Table::add(std::vector<std::string> row) {
  PEN_CHECK(row.size() == columns_.size(), "table row has ", row.size(), " cells, expected ", columns_.size());
  rows_.push_back(std::move(row));
}

std::string Table::markdown() const {
  std::vector<std::vector<std::string>> cells;
  for (std::size_t r = 0; r <= rows_.size(); ++r) {
    cells.emplace_back();
    for (const std::string& cell : r == 0 ? columns_ : rows_[r - 1]) cells.back().push_back(markdown_cell(cell));
  }
  std::vector<std::size_t> widths(columns_.size(), 3);
  for (const auto& row : cells) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string text;
  for (std::size_t r = 0; r < cells.size(); ++r) {
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string pad(widths[c] - width_of(cells[r][c]), ' ');
      text += c == 0 ? "| " + cells[r][c] + pad : " | " + pad + cells[r][c];
    }
    text += " |\n";
    if (r > 0) continue;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      text += c == 0 ? "| " + std::string(widths[c], '-') : " | " + std::string(widths[c] - 1, '-') + ":";
    }
    text += " |\n";
  }
  return text;
}

std::string Table::csv() const {
  std::string text;
  for (std::size_t r = 0; r <= rows_.size(); ++r) {
    const auto& row = r == 0 ? columns_ : rows_[r - 1];
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c > 0) text += ',';
      text += csv_cell(row[c]);
    }
    text += '\n';
  }
  return text;
}

std::string Table::latex() const {
  const auto escaped = [](const std::string& cell) {
    std::string out;
    for (const char c : cell) {
      if (c == '\\')
        out += "\\textbackslash{}";
      else if (c == '~' || c == '^')
        out += std::string("\\") + c + "{}";
      else if (std::string_view("&%$#_{}").find(c) != std::string_view::npos)
        out += std::string("\\") + c;
      else
        out += c == '\n' ? ' ' : c;
    }
    return out;
  };
  std::string text = "\\begin{tabular}{l" + std::string(columns_.size() - 1, 'r') + "}\n\\hline\n";
  for (std::size_t r = 0; r <= rows_.size(); ++r) {
    const auto& row = r == 0 ? columns_ : rows_[r - 1];
    for (std::size_t c = 0; c < row.size(); ++c) text += (c > 0 ? " & " : "") + escaped(row[c]);
    text += " \\\\\n";
    if (r == 0) text += "\\hline\n";
  }
  return text + "\\hline\n\\end{tabular}\n";
}

std::string fixed(double value, int decimals) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : "-";
}

}  // namespace pen::eval
