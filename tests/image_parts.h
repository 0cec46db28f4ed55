// Parts of images: drawn, and compared with the image that they are cut from.
#pragma once

#include <cstring>

#include "base/rng.h"
#include "data/image.h"

namespace pen::test {

// Whether the view holds the same pixels as the part of the image.
inline bool same(const ImageView& view, const Image& image, const Rect& part) {
  const ImageView want = ImageView(image).part(part);
  for (int y = 0; y < part.height; ++y)
    if (std::memcmp(view.data + y * view.stride, want.data + y * want.stride, std::size_t{3} * part.width) != 0)
      return false;
  return true;
}

// A part of at least one pixel, anywhere in the image.
inline Rect random_rect(ImageSize size, Rng& rng) {
  const auto below = [&](int n) { return static_cast<int>(rng.below(static_cast<std::uint64_t>(n))); };
  Rect r;
  r.height = 1 + below(size.height);
  r.width = 1 + below(size.width);
  r.top = below(size.height - r.height + 1);
  r.left = below(size.width - r.width + 1);
  return r;
}

}  // namespace pen::test
