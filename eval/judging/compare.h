// Two results on the same images, image by image.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eval/bootstrap.h"
#include "eval/judging/options.h"
#include "eval/table.h"

namespace pen::eval {

// The results of each image of one file: a CSV whose first column names the images.
struct ImageResults {
  std::string file, protocol;                // protocol: of the column of that name; empty if there is none
  std::vector<std::string> images, columns;  // columns: those with numbers
  std::vector<double> values;                // (images, columns); NaN for empty cells
};
// From a .csv file, or a .json file with that beside it: x.csv or x.images.csv for x.json. Data errors name file and
// line: malformed quotes, rows of another length than the header, an image that is there twice, more than one protocol.
ImageResults read_image_results(const std::string& path);
// The same from a CSV text; `name` stands in messages.
ImageResults parse_image_results(std::string_view text, const std::string& name);

struct PairedColumn {
  std::string name;
  std::int64_t pairs = 0;  // images with a value in both
  double a = 0, b = 0;     // means over the pairs
  Interval difference;     // of a - b
  // Images where one is better; more is better but for metrics that are known to be better when low (score's LE, OM, SM
  // and evaluate's metrics).
  std::int64_t a_wins = 0, b_wins = 0, ties = 0;
};
struct Comparison {
  std::string a, b;  // files
  std::string protocol;
  std::int64_t images = 0;    // that both have
  std::int64_t left_out = 0;  // that one lacks
  std::vector<PairedColumn> columns;
};
// Pairs images by name. Images that only one file has are a data error without `common`; different protocols and no
// common column always are.
Comparison compare(const ImageResults& a, const ImageResults& b, const CompareOptions& options);

Table comparison_table(const Comparison& comparison);
std::string comparison_json(const Comparison& comparison, const CompareOptions& options);

}  // namespace pen::eval
