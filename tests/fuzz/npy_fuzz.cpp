#include <cmath>

#include "eval/npy.h"
#include "tests/fuzz/fuzz.h"

// Somebody's maps in NumPy's format.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  return fuzz::run(ErrorKind::data, data, size, [](std::span<const std::uint8_t> bytes) {
    const eval::NpyArray array = eval::parse_npy(bytes, "map.npy");
    fuzz::must(array.bytes.size() <= bytes.size(), "memory is bounded by the file");
    std::int64_t product = 1;
    for (const std::int64_t d : array.shape) product *= d;
    fuzz::must(product == array.numel(), "a value for each element of the shape");
    const std::vector<float> single = array.floats();
    const std::vector<double> values = array.doubles();
    fuzz::must(values.size() == static_cast<std::size_t>(product) && single.size() == values.size(), "all convert");
    for (std::size_t i = 0; i < values.size(); ++i)
      fuzz::must(std::isnan(values[i]) == std::isnan(single[i]), "NaN stays NaN");
  });
}
