// Result tables as Markdown, CSV and LaTeX.
#pragma once

#include <string>
#include <vector>

namespace pen::eval {

// Rows of cells under named columns.
class Table {
 public:
  explicit Table(std::vector<std::string> columns);
  // One row; it must have a cell for each column.
  void add(std::vector<std::string> row);

  // GitHub's Markdown, padded to equal widths; the first column is aligned left, the others right. A `|` in a cell is
  // escaped and line breaks become spaces.
  std::string markdown() const;
  // RFC 4180 with LF line ends: a cell with a comma, a quote or a line break is quoted.
  std::string csv() const;
  // A LaTeX tabular, first column left, others right; characters that mean something to LaTeX are escaped.
  std::string latex() const;
  const std::vector<std::string>& columns() const { return columns_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// A number with that many decimals; "-" for NaN and infinity.
std::string fixed(double value, int decimals = 3);

}  // namespace pen::eval
