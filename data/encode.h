// Writing image files. The same pixels give the same bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pen {

// The bytes of a PNG file of (height, width, channels) pixels: 1 channel is gray, 3 are RGB. A wrong number of bytes or
// channels, or a side that is 0 or over 65500, is an Error of kind `run`.
std::vector<std::uint8_t> encode_png(std::int64_t height, std::int64_t width, std::int64_t channels,
                                     std::span<const std::uint8_t> pixels);
// The bytes of a baseline JPEG file of (height, width, 3) pixels; quality 1 to 100, chroma halved as cameras do.
std::vector<std::uint8_t> encode_jpeg(std::int64_t height, std::int64_t width, std::span<const std::uint8_t> rgb,
                                      int quality = 92);

// The same to a file, which appears under its name when it is whole. Unlike AtomicFile they do not wait for the disk:
// a picture can be made again, and there may be thousands. An Error of kind `run` names the file.
void write_png(const std::string& path, std::int64_t height, std::int64_t width, std::int64_t channels,
               std::span<const std::uint8_t> pixels);
void write_jpeg(const std::string& path, std::int64_t height, std::int64_t width, std::span<const std::uint8_t> rgb,
                int quality = 92);
void write_picture_file(const std::string& path, std::span<const std::uint8_t> bytes);

}  // namespace pen
