// Crops of JPEGs against the whole decode: every kind of file that libjpeg writes, odd sizes, damaged data.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "base/check.h"
#include "base/rng.h"
#include "data/image.h"
#include "tests/image_parts.h"

using namespace pen;
using test::random_rect, test::same;

namespace {

struct Sampling {
  int h[4] = {1, 1, 1, 1}, v[4] = {1, 1, 1, 1};  // of each component
  std::string name() const {
    std::string text;
    for (int c = 0; c < 4; ++c) text += std::to_string(h[c]) + "x" + std::to_string(v[c]) + " ";
    return text;
  }
};

struct Kind {
  J_COLOR_SPACE in = JCS_RGB, file = JCS_YCbCr;
  int components = 3;
  Sampling sampling;
  bool progressive = false, arithmetic = false, optimised = false, one_scan_each = false;
  int restart_blocks = 0, restart_rows = 0, quality = 90;
};

// Smooth shapes under noise: chroma that changes from pixel to pixel, so that a wrong neighbour shows.
std::vector<std::uint8_t> pixels_of(int height, int width, int components, Rng& rng) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(height * width * components));
  const double fx = rng.uniform(0.02, 0.5), fy = rng.uniform(0.02, 0.5);
  std::size_t i = 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < components; ++c)
        out[i++] = static_cast<std::uint8_t>(127 + 90 * std::sin(fx * x * (c + 1) + fy * y) +
                                             static_cast<double>(rng.below(60)) - 30);
  return out;
}

std::vector<std::uint8_t> encode(int height, int width, const Kind& kind, Rng& rng) {
  std::vector<std::uint8_t> pixels = pixels_of(height, width, kind.components, rng);
  jpeg_compress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_create_compress(&info);  // errors end the program: they would be errors of this test
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = kind.components;
  info.in_color_space = kind.in;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, kind.file);
  jpeg_set_quality(&info, kind.quality, TRUE);
  for (int c = 0; c < kind.components; ++c) {
    info.comp_info[c].h_samp_factor = kind.sampling.h[c];
    info.comp_info[c].v_samp_factor = kind.sampling.v[c];
  }
  info.arith_code = kind.arithmetic;
  info.optimize_coding = kind.optimised;
  info.restart_interval = static_cast<unsigned>(kind.restart_blocks);
  info.restart_in_rows = kind.restart_rows;
  jpeg_scan_info scans[4] = {};
  if (kind.progressive) jpeg_simple_progression(&info);
  if (kind.one_scan_each) {
    for (int c = 0; c < kind.components; ++c) scans[c] = {1, {c, 0, 0, 0}, 0, 63, 0, 0};
    info.scan_info = scans;
    info.num_scans = kind.components;
  }
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + static_cast<std::size_t>(info.next_scanline) * width * kind.components;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::vector<std::uint8_t> out(memory, memory + size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return out;
}

// The whole image by the plainest use of libjpeg, of three-component and gray files.
std::vector<std::uint8_t> plain_decode(const std::vector<std::uint8_t>& bytes) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  errors.emit_message = [](j_common_ptr, int) {};
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  const std::size_t stride = std::size_t{3} * info.output_width;
  std::vector<std::uint8_t> out(stride * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = out.data() + stride * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return out;
}

// Crops of one file that differ from the whole decode.
int wrong_crops(ImageReader& reader, const std::vector<std::uint8_t>& bytes, const Image& whole, int crops, Rng& rng) {
  int wrong = 0;
  for (int i = 0; i < crops; ++i) {
    const ImageSize size = reader.open(bytes, "file");
    const Rect part = random_rect(size, rng);
    wrong += !same(reader.read(part), whole, part);
  }
  return wrong;
}

const std::vector<Sampling>& samplings() {
  static const std::vector<Sampling> all = {
      {},                            // 4:4:4
      {{2, 1, 1, 1}, {1, 1, 1, 1}},  // 4:2:2
      {{1, 1, 1, 1}, {2, 1, 1, 1}},  // 4:4:0
      {{2, 1, 1, 1}, {2, 1, 1, 1}},  // 4:2:0
      {{4, 1, 1, 1}, {1, 1, 1, 1}},  // 4:1:1
      {{1, 1, 1, 1}, {4, 1, 1, 1}},  // upright 4:1:1
      {{4, 1, 1, 1}, {2, 1, 1, 1}},  // 4:1:0
      {{3, 1, 1, 1}, {1, 1, 1, 1}},  // thirds
      {{2, 2, 1, 1}, {2, 1, 2, 1}},  // each chroma plane another way
      {{1, 2, 2, 1}, {1, 1, 1, 1}},  // chroma finer than luma
      {{1, 1, 1, 1}, {2, 2, 2, 1}},  // 4:4:4 in units of two rows (libjpeg takes at most ten blocks)
  };
  return all;
}

}  // namespace

TEST_CASE("JPEG crops: every sampling, baseline, optimised, progressive, arithmetic, with restarts, a scan each") {
  Rng rng(21);
  ImageReader reader;
  int files = 0;
  for (const Sampling& sampling : samplings()) {
    CAPTURE(sampling.name());
    for (int form = 0; form < 7; ++form) {
      CAPTURE(form);
      for (int i = 0; i < 6; ++i, ++files) {
        Kind kind;
        kind.sampling = sampling;
        kind.optimised = form == 1;
        kind.progressive = form == 2;
        kind.arithmetic = form == 3;
        kind.one_scan_each = form == 4;
        if (form == 5) kind.restart_blocks = 1 + static_cast<int>(rng.below(9));
        if (form == 6) kind.restart_rows = 1 + static_cast<int>(rng.below(3));
        kind.quality = 20 + static_cast<int>(rng.below(81));
        const int height = 1 + static_cast<int>(rng.below(130)), width = 1 + static_cast<int>(rng.below(170));
        CAPTURE(height);
        CAPTURE(width);
        const std::vector<std::uint8_t> bytes = encode(height, width, kind, rng);
        const Image whole = decode_image(bytes, "file");
        CHECK(whole.rgb == plain_decode(bytes));
        CHECK(wrong_crops(reader, bytes, whole, 20, rng) == 0);
      }
    }
  }
  CHECK(files == 11 * 7 * 6);
}

TEST_CASE("JPEG crops: gray, RGB, CMYK and YCCK") {
  Rng rng(22);
  ImageReader reader;
  Kind gray{.in = JCS_GRAYSCALE, .file = JCS_GRAYSCALE, .components = 1, .sampling = {}};
  Kind gray_two = gray;  // the factors of a single component mean nothing, but files have them
  gray_two.sampling = {{2, 1, 1, 1}, {2, 1, 1, 1}};
  Kind rgb{.in = JCS_RGB, .file = JCS_RGB, .components = 3, .sampling = {}};
  Kind cmyk{.in = JCS_CMYK, .file = JCS_CMYK, .components = 4, .sampling = {}};
  Kind ycck{.in = JCS_CMYK, .file = JCS_YCCK, .components = 4, .sampling = {}};
  Kind ycck_420 = ycck;
  ycck_420.sampling = {{2, 1, 1, 2}, {2, 1, 1, 2}};
  int kind_number = 0;
  for (Kind kind : {gray, gray_two, rgb, cmyk, ycck, ycck_420}) {
    CAPTURE(kind_number++);
    for (int i = 0; i < 12; ++i) {
      kind.progressive = i % 3 == 2;
      kind.restart_rows = i % 3 == 1;
      const int height = 1 + static_cast<int>(rng.below(120)), width = 1 + static_cast<int>(rng.below(120));
      const std::vector<std::uint8_t> bytes = encode(height, width, kind, rng);
      const Image whole = decode_image(bytes, "file");
      if (kind.components != 4) CHECK(whole.rgb == plain_decode(bytes));
      CHECK(wrong_crops(reader, bytes, whole, 20, rng) == 0);
    }
  }
}

// What is damaged inside the coded data is decoded alike by a crop and by the whole: libjpeg goes on after it, and so
// do they. A file that is refused as a whole may still give crops whose rows end before the fault.
TEST_CASE("JPEG crops: of damaged files they equal the whole decode wherever that succeeds") {
  Rng rng(23);
  ImageReader reader;
  int damaged = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    Kind kind;
    kind.sampling = samplings()[static_cast<std::size_t>(rng.below(4))];
    if (i % 4 == 1) kind.restart_rows = 1;
    std::vector<std::uint8_t> bytes = encode(96, 128, kind, rng);
    for (int k = 0; k < 3; ++k)
      bytes[bytes.size() / 4 + rng.below(bytes.size() * 3 / 4 - 2)] = static_cast<std::uint8_t>(rng.below(256));
    std::optional<Image> whole;
    try {
      whole = decode_image(bytes, "file");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::data);
      ++refused;
    }
    if (!whole) continue;
    ++damaged;
    CAPTURE(i);
    CHECK(wrong_crops(reader, bytes, *whole, 10, rng) == 0);
  }
  CHECK(damaged > 200);
  MESSAGE(damaged, " damaged files decoded, ", refused, " refused");
}

TEST_CASE("JPEG crops: a file that ends early is refused, whatever part is asked for") {
  Rng rng(24);
  ImageReader reader;
  for (const bool progressive : {false, true}) {
    Kind kind;
    kind.sampling = samplings()[3];
    kind.progressive = progressive;
    const std::vector<std::uint8_t> bytes = encode(96, 128, kind, rng);
    int refused = 0;
    for (int i = 0; i < 100; ++i) {
      const std::size_t kept = 2 + rng.below(bytes.size() - 3);
      try {
        const ImageSize size = reader.open(std::span(bytes).first(kept), "cut");
        reader.read(random_rect(size, rng));
      } catch (const Error& error) {
        refused += error.kind() == ErrorKind::data;
      }
    }
    CHECK(refused == 100);
  }
}
