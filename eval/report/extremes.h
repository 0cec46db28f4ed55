// Which images a gallery shows: the best and the worst by a metric.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "eval/judging/compare.h"

namespace pen::eval {

// Numbers of the columns that are metrics: all but classes (label, predicted) and figures of single boxes.
std::vector<std::size_t> metric_columns(const ImageResults& results);
// The one of that name among them; an unknown name is a usage error that suggests the nearest.
std::size_t metric_column(const ImageResults& results, const std::string& name);

// The numbers of the images with the highest and the lowest values of a column, at most `each` of both, highest first;
// images without a value are passed over. All of them, sorted, if there are no more.
std::vector<std::size_t> extremes(const ImageResults& results, std::size_t column, std::size_t each);

}  // namespace pen::eval
