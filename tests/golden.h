// The recorded answers of the reference (tests/golden/*.safetensors) and the rule that makes their inputs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/fixed_values.h"
#include "tensor/safetensors.h"

namespace pen::test {

// tests/golden/<file>, or $PENUMBRA_GOLDEN/<file> when that is set (scripts/test --golden DIR).
std::string golden_path(const std::string& file);

// The content of golden_path(file), or where that is absent of the same name with .gz, unzipped.
std::vector<std::uint8_t> golden_bytes(const std::string& file);

// One recording. A missing file or tensor throws: it is a failure, never a skip.
class Golden {
 public:
  // Opens golden_path(file), or where that is absent the same name with .gz (large recordings are kept zipped).
  explicit Golden(const std::string& file);
  Golden(const Golden&) = delete;
  Golden& operator=(const Golden&) = delete;
  bool has(const std::string& name) const { return file_.has(name); }
  const std::vector<std::string>& names() const { return file_.order(); }
  std::vector<std::int64_t> shape(const std::string& name) const { return file_.at(name).shape; }
  std::vector<float> f32(const std::string& name) const;         // F32 only
  std::vector<double> f64(const std::string& name) const;        // F32 or F64
  std::vector<std::int64_t> i64(const std::string& name) const;  // I64 or I32
  std::vector<std::uint8_t> u8(const std::string& name) const;
  std::vector<std::uint16_t> u16(const std::string& name) const;
  std::vector<std::uint16_t> f16_bits(const std::string& name) const;  // F16, as they are stored
  std::string meta(const std::string& key) const;                      // __metadata__ entry; missing throws
  std::uint64_t seed() const;                                          // metadata `seed`, 0 if it has none

 private:
  std::vector<std::uint8_t> bytes_;  // of an unzipped recording; file_ then points into it
  SafetensorsFile file_;
};

// fill(name, shape) of the recordings.
inline std::vector<float> fill(const std::string& name, const Shape& shape, std::uint64_t seed = 0) {
  return fixed_values(name, shape, seed);
}

}  // namespace pen::test
