// WebP by libwebp.
#include <webp/decode.h>

#include "data/decoders.h"

namespace pen::codec {

void decode_webp(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) refuse(name, "it is truncated: the data ends inside the header");
  if (status != VP8_STATUS_OK) refuse(name, "its WebP header is corrupt");
  if (features.has_animation) refuse(name, "it is an animated WebP, which is not supported");
  check_size(features.height, features.width, name, limits);
  allocate(out, features.height, features.width);
  if (!WebPDecodeRGBInto(bytes.data(), bytes.size(), out.rgb.data(), out.rgb.size(), 3 * features.width))
    refuse(name, "its WebP data is truncated or corrupt");
}

}  // namespace pen::codec
