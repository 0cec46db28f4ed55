// IDX files (the format of MNIST and Fashion-MNIST), gzipped or plain.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pen {

// Unsigned bytes with their dimensions, first one slowest.
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> data;
};

// Reads a file of `dimensions` dimensions. Missing, not gzip or cut short, another magic number, a size that is 0, more
// than max_elements elements, or bytes behind the end: an Error of kind `data` that names the file.
IdxArray read_idx(const std::string& path, std::size_t dimensions, std::int64_t max_elements);

}  // namespace pen
