// The decoders behind ImageReader, one per format; used by data/image.cpp only. Each decodes a whole file into `out`
// (whose buffer it reuses), equal to Pillow's convert("RGB"), or throws what refuse() makes.
#pragma once

#include <span>
#include <string>

#include "data/image.h"

namespace pen::codec {

using Bytes = std::span<const std::uint8_t>;

void decode_png(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out);
void decode_webp(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out);
void decode_tiff(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out);
void decode_bmp(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out);
void decode_pnm(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out);

// `cannot decode 'NAME': REASON`, an Error of kind data.
[[noreturn]] void refuse(const std::string& name, const std::string& reason);
// Refuses sizes that are not positive or beyond the limit, before any memory is taken.
void check_size(std::int64_t height, std::int64_t width, const std::string& name, const DecodeLimits& limits);
// Sets the size (checked already) and makes room for the pixels.
void allocate(Image& out, std::int64_t height, std::int64_t width);

// CMYK (amounts of ink) as Pillow converts it, without a colour profile: (255 - K) less each ink's share of it.
void cmyk_to_rgb(const std::uint8_t* cmyk, std::int64_t pixels, std::uint8_t* rgb);

}  // namespace pen::codec
