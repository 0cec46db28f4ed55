// JPEG by libjpeg-turbo: Pillow's pixels (accurate integer DCT, fancy upsampling), of the whole image or of a part.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "data/image.h"

namespace pen::codec {

// Keeps its buffers from file to file. Used through ImageReader, which documents the calls.
class JpegReader {
 public:
  explicit JpegReader(const DecodeLimits& limits);
  ~JpegReader();
  ImageSize open(std::span<const std::uint8_t> bytes, const std::string& name);
  ImageSize shrink(int factor);
  ImageView read(const Rect& part);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pen::codec
