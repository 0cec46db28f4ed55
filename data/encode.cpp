#include "data/encode.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
// after <cstdio>, which it needs
#include <jpeglib.h>
#include <png.h>

#include "base/check.h"
#include "base/file.h"

namespace pen {
namespace {

void check_pixels(const char* what, std::int64_t height, std::int64_t width, std::int64_t channels, std::size_t bytes) {
  PEN_CHECK(height >= 1 && width >= 1 && height <= 65500 && width <= 65500, what, ": ", height, "x", width,
            " is no image size (each side 1 to 65500)");
  PEN_CHECK(channels == 1 || channels == 3, what, ": ", channels, " channels; 1 or 3 can be written");
  PEN_CHECK(bytes == static_cast<std::size_t>(height * width * channels), what, ": ", bytes, " bytes for ", height, "x",
            width, "x", channels);
}

struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

void jpeg_failed(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}

// Nothing with a destructor lives here: an error jumps out of it. Null on failure; the caller frees the memory.
unsigned char* jpeg_bytes(JDIMENSION height, JDIMENSION width, const std::uint8_t* rgb, int quality,
                          unsigned long* size, JpegErrors* errors) {
  jpeg_compress_struct info;
  unsigned char* volatile out = nullptr;
  unsigned char* memory = nullptr;
  info.err = jpeg_std_error(&errors->base);
  errors->base.error_exit = jpeg_failed;
  if (setjmp(errors->back)) {
    jpeg_destroy_compress(&info);
    std::free(out);
    return nullptr;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, &memory, size);
  info.image_width = width;
  info.image_height = height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.dct_method = JDCT_ISLOW;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < height) {
    auto* row = const_cast<JSAMPROW>(rgb + std::size_t{3} * width * info.next_scanline);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  out = memory;
  jpeg_destroy_compress(&info);
  return out;
}

}  // namespace

std::vector<std::uint8_t> encode_jpeg(std::int64_t height, std::int64_t width, std::span<const std::uint8_t> rgb,
                                      int quality) {
  check_pixels("JPEG", height, width, 3, rgb.size());
  PEN_CHECK(quality >= 1 && quality <= 100, "JPEG: quality ", quality, " is not 1 to 100");
  JpegErrors errors;
  unsigned long size = 0;
  unsigned char* bytes =
      jpeg_bytes(static_cast<JDIMENSION>(height), static_cast<JDIMENSION>(width), rgb.data(), quality, &size, &errors);
  PEN_CHECK(bytes, "JPEG: ", errors.message);
  std::vector<std::uint8_t> out(bytes, bytes + size);
  std::free(bytes);
  return out;
}

std::vector<std::uint8_t> encode_png(std::int64_t height, std::int64_t width, std::int64_t channels,
                                     std::span<const std::uint8_t> pixels) {
  check_pixels("PNG", height, width, channels, pixels.size());
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  // PNG_IMAGE_PNG_SIZE_MAX bounds what compression can need, so one pass does.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> out(size);
  const int done = png_image_write_to_memory(&image, out.data(), &size, 0, pixels.data(), 0, nullptr);
  PEN_CHECK(done, "PNG: ", image.message);
  out.resize(size);
  return out;
}

void write_picture_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  const std::string aside = path + ".tmp-" + std::to_string(::getpid());
  const auto give_up = [&](int code) {
    ::unlink(aside.c_str());
    fail(ErrorKind::run, str("cannot write '", path, "': ", std::strerror(code)));
  };
  {
    const Fd fd(::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (fd.get() < 0) give_up(errno);
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) give_up(errno);
      done += static_cast<std::size_t>(n);
    }
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) give_up(errno);
}

void write_png(const std::string& path, std::int64_t height, std::int64_t width, std::int64_t channels,
               std::span<const std::uint8_t> pixels) {
  write_picture_file(path, encode_png(height, width, channels, pixels));
}

void write_jpeg(const std::string& path, std::int64_t height, std::int64_t width, std::span<const std::uint8_t> rgb,
                int quality) {
  write_picture_file(path, encode_jpeg(height, width, rgb, quality));
}

}  // namespace pen
