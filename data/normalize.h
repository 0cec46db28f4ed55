// 8-bit pixels to a network's input: ToTensor, then mean and deviation.
#pragma once

#include <array>
#include <cstdint>

namespace pen {

// x = (v / 255 - mean) / std for each channel, in float32 and in this order. The defaults are ImageNet's.
struct Normalize {
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f}, std{0.229f, 0.224f, 0.225f};
  bool operator==(const Normalize&) const = default;
};

// A Normalize ready for use on many images.
class Normalizer {
 public:
  explicit Normalizer(const Normalize& how = {}) { set(how); }
  // Does nothing if it is set so already.
  void set(const Normalize& how);
  // out (pixels, 3) = normalised rgb (pixels, 3). The same bits on every processor.
  void apply(const std::uint8_t* rgb, std::int64_t pixels, float* out) const;

 private:
  Normalize how_;
  bool ready_ = false;
  std::array<std::array<float, 256>, 3> table_{};  // the value of each byte in each channel
  bool vectors_ = false;                           // whether arithmetic in vectors gives the table's bits
};

// out (height, width, 3) floats from 8-bit pixels; mirrored left to right if `flip`.
void normalize(const std::uint8_t* rgb, int height, int width, bool flip, const Normalize& how, float* out);

}  // namespace pen
