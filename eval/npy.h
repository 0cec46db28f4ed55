// NumPy's .npy files (format 1.0 of numpy.lib.format): raw maps for others to read, and theirs for us.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pen::eval {

// Writes a C-ordered array, complete or not at all. The product of shape must be the number of values.
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const float> values);
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const double> values);
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const std::uint8_t> values);

// One array of a file.
struct NpyArray {
  enum class Type { f32, f64, u8 };
  Type type = Type::f32;
  std::vector<std::int64_t> shape;  // empty for a single number
  std::vector<std::uint8_t> bytes;  // row-major, little-endian
  std::int64_t numel() const;
  std::vector<float> floats() const;    // converted where they are not float32
  std::vector<double> doubles() const;  // converted where they are not float64
};
// Formats 1.0, 2.0 and 3.0; float32, float64 and uint8, little-endian, C order. Anything else, a header that is
// malformed, or a size that is not the header's: a data error that names the file.
NpyArray read_npy(const std::string& path);
NpyArray parse_npy(std::span<const std::uint8_t> file, const std::string& name);

}  // namespace pen::eval
