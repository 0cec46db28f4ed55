// The results of each image, as `score --per_image` writes them to a CSV file.
#pragma once

#include <string>
#include <vector>

namespace pen::eval {

// The cells of CSV text (RFC 4180; LF or CRLF). A quote that is not closed, or rows of different lengths, are data
// errors that name `name` and the row.
std::vector<std::vector<std::string>> parse_csv(const std::string& text, const std::string& name);

struct ImageResult {
  std::string path;
  std::vector<double> values;  // of ImageResults::metrics; NaN where the cell is empty
};
struct ImageResults {
  std::vector<std::string> metrics;  // numeric columns
  std::vector<ImageResult> images;
  // Number of the metric; an unknown name is a usage error that suggests the nearest.
  std::size_t metric(const std::string& name) const;
};
// Needs a column "path" and at least one image; else a data error that names the file.
ImageResults read_image_results(const std::string& file);

// The numbers of the images with the highest and the lowest values of a metric, at most `each` of both, highest first;
// images without the metric are passed over. All of them, sorted, if there are no more.
std::vector<std::size_t> extremes(const ImageResults& results, std::size_t metric, std::size_t each);

}  // namespace pen::eval
