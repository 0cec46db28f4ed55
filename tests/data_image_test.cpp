// Decoding: what Pillow makes of odd files, refusals, bombs, and JPEG crops that equal the full decode.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "data/transforms.h"
#include "tests/golden.h"
#include "tests/image_parts.h"
#include "tests/paths.h"
#include "tests/scratch.h"

using namespace pen;
using test::random_rect, test::same;

namespace {

std::string odd_path(const std::string& name) { return pen::test::tests_folder() + "/data/images/" + name; }
std::vector<std::uint8_t> odd_bytes(const std::string& name) { return read_file(odd_path(name), 1u << 24); }

std::string fnv1a64(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const std::uint8_t b : bytes) h = (h ^ b) * 0x100000001b3ull;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(h));
  return text;
}

// A bitmap whose header claims another size.
std::vector<std::uint8_t> bmp_of_size(std::uint32_t width, std::uint32_t height) {
  std::vector<std::uint8_t> bytes = odd_bytes("gen_RGB.bmp");
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[18 + i] = static_cast<std::uint8_t>(width >> (8 * i));
    bytes[22 + i] = static_cast<std::uint8_t>(height >> (8 * i));
  }
  return bytes;
}

}  // namespace

TEST_CASE("decode_image: every odd file gives the pixels that Pillow gives, or is refused where Pillow refuses") {
  std::ifstream list(odd_path("pillow.txt"));
  REQUIRE(list.good());
  int decoded = 0, refused = 0;
  for (std::string line; std::getline(list, line);) {
    CAPTURE(line);
    std::istringstream words(line);
    std::string name, first;
    words >> name >> first;
    if (line.ends_with("refused")) {
      test::check_error(ErrorKind::data, {"cannot decode", name}, [&] { decode_image(odd_bytes(name), name); });
      ++refused;
      continue;
    }
    int height = 0;
    std::string hash;
    words >> height >> hash;
    try {
      const Image image = decode_image(odd_bytes(name), name);
      CHECK(image.width == std::stoi(first));
      CHECK(image.height == height);
      CHECK(fnv1a64(image.rgb) == hash);
    } catch (const Error& e) {
      FAIL_CHECK(e.what());
    }
    ++decoded;
  }
  CHECK(decoded >= 110);
  CHECK(refused >= 25);
}

TEST_CASE("decode_image: one reader for all files, bad ones between good ones") {
  ImageReader reader;
  for (int round = 0; round < 2; ++round) {
    for (const std::string name : {"gen_20.jpg", "truncated_jpeg.jpg", "gen_21.jpg", "corrupt_missing-sof.jpg",
                                   "gen_RGB.png", "gen_cut.png", "gen_00.jpg", "corrupt_empty.jpg", "gen_lossy.webp"}) {
      CAPTURE(name);
      const std::vector<std::uint8_t> bytes = odd_bytes(name);
      Image want;
      bool good = true;
      try {
        want = decode_image(bytes, name);
      } catch (const Error&) {
        good = false;
      }
      CHECK(good == (name.starts_with("gen_") && name != "gen_cut.png"));
      try {
        const ImageSize size = reader.open(bytes, name);
        const ImageView view = reader.read({0, 0, size.height, size.width});
        CHECK(good);
        CHECK(same(view, want, {0, 0, want.height, want.width}));
      } catch (const Error& e) {
        CHECK_FALSE(good);
        CHECK(e.kind() == ErrorKind::data);
      }
    }
  }
}

TEST_CASE("decode_image: nothing of one JPEG is left for the next") {
  // A file without Huffman tables is decoded with the standard ones (as frames of motion JPEG are), not with those of
  // the file before it.
  const std::vector<std::uint8_t> whole = odd_bytes("gen_20.jpg");
  std::vector<std::uint8_t> bare(whole.begin(), whole.begin() + 2);
  for (std::size_t at = 2; at < whole.size();) {
    const std::size_t size = whole[at + 1] == 0xda ? whole.size() - at : 2u + whole[at + 2] * 256u + whole[at + 3];
    if (whole[at + 1] != 0xc4)
      bare.insert(bare.end(), whole.begin() + static_cast<std::ptrdiff_t>(at),
                  whole.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  REQUIRE(bare.size() < whole.size());
  ImageReader reader;
  const std::vector<std::uint8_t> other = odd_bytes("gen_21.jpg");  // progressive: tables of its own
  reader.open(other, "other.jpg");
  reader.read({0, 0, 29, 37});
  reader.open(bare, "bare.jpg");
  CHECK(same(reader.read({0, 0, 29, 37}), decode_image(whole, "whole.jpg"), {0, 0, 29, 37}));
}

TEST_CASE("decode_image: the content decides, not the name; messages name the file and the reason") {
  CHECK(decode_image(odd_bytes("gen_RGB.png"), "n02105855_2933.JPEG").width == 37);
  test::check_error(ErrorKind::data, {"'x.jpg'", "the file is empty"}, [] { decode_image({}, "x.jpg"); });
  const std::string text = "this is not a JPEG";
  test::check_error(ErrorKind::data, {"'x.jpg'", "no image"}, [&] {
    decode_image({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "x.jpg");
  });
  const std::string gif = "GIF89a and more";
  test::check_error(ErrorKind::data, {"'x.jpg'", "GIF"}, [&] {
    decode_image({reinterpret_cast<const std::uint8_t*>(gif.data()), gif.size()}, "x.jpg");
  });
  test::check_error(ErrorKind::data, {"truncated_jpeg.jpg", "truncated"},
                    [] { read_image(odd_path("truncated_jpeg.jpg")); });
  test::check_error(ErrorKind::data, {"cannot open", "/nowhere/x.jpg"}, [] { read_image("/nowhere/x.jpg"); });
}

TEST_CASE("decode_image: every prefix of a file is refused or decodes, and nothing else happens") {
  for (const std::string name : {"gen_20.jpg", "gen_21.jpg", "gen_RGBA.png", "gen_lossy.webp", "gen_RGB_tiff_lzw.tif",
                                 "gen_4.bmp", "gen_p3.ppm", "cmyk_moz1.jpg"}) {
    const std::vector<std::uint8_t> bytes = odd_bytes(name);
    int refused = 0;
    for (std::size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 300) {
      try {
        decode_image(std::span(bytes).first(n), name);
      } catch (const Error& e) {
        CHECK(e.kind() == ErrorKind::data);
        ++refused;
      }
    }
    CAPTURE(name);
    CHECK(refused > 4);
  }
}

TEST_CASE("decode_image: bombs are refused before memory is taken") {
  struct rusage before {
  }, after{};
  getrusage(RUSAGE_SELF, &before);
  test::check_error(ErrorKind::data, {"bomb.png", "100000x50000", "178956970"},
                    [] { decode_image(odd_bytes("gen_bomb.png"), "bomb.png"); });
  test::check_error(ErrorKind::data, {"bomb.bmp", "allowed"},
                    [] { decode_image(bmp_of_size(60000, 60000), "bomb.bmp"); });
  test::check_error(ErrorKind::data, {"bomb.bmp", "size"},
                    [] { decode_image(bmp_of_size(0x7fffffff, 1), "bomb.bmp"); });
  const std::string ppm = "P6 100000 100000 255\n";
  test::check_error(ErrorKind::data, {"bomb.ppm", "allowed"}, [&] {
    decode_image({reinterpret_cast<const std::uint8_t*>(ppm.data()), ppm.size()}, "bomb.ppm");
  });
  const std::string small = "P6 10000 10000 255\n";  // within the limit, but the file cannot hold it
  test::check_error(ErrorKind::data, {"small.ppm", "truncated"}, [&] {
    decode_image({reinterpret_cast<const std::uint8_t*>(small.data()), small.size()}, "small.ppm");
  });
  test::check_error(ErrorKind::data, {"corrupt_max_size.jpg"}, [] { read_image(odd_path("corrupt_max_size.jpg")); });
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 64 * 1024);  // KiB

  DecodeLimits limits;
  limits.max_pixels = 37 * 29;
  for (const std::string name :
       {"gen_20.jpg", "gen_RGB.png", "gen_lossy.webp", "gen_RGB_raw.tif", "gen_RGB.bmp", "gen_p6.ppm"}) {
    CAPTURE(name);
    limits.max_pixels = 37 * 29;
    CHECK(decode_image(odd_bytes(name), name, limits).height == 29);
    limits.max_pixels = 37 * 29 - 1;
    test::check_error(ErrorKind::data, {name, "37x29", "1072"}, [&] { decode_image(odd_bytes(name), name, limits); });
  }
  limits.max_bytes = 100;
  test::check_error(ErrorKind::data, {"gen_20.jpg", "more than the 100"},
                    [&] { read_image(odd_path("gen_20.jpg"), limits); });
}

TEST_CASE("ImageReader: JPEG crops equal the full decode") {
  std::vector<std::string> files;
  for (const std::string name : {"photo_420.JPEG", "photo_422.jpg", "photo_444.jpg", "gray.jpg", "cmyk.jpg",
                                 "progressive.jpg", "tiny_17x9.jpg", "wide_900x120.jpg", "exif_rotated.jpg"})
    files.push_back(test::golden_path("images/" + name));
  for (const std::string name :
       {"gen_00.jpg", "gen_10.jpg", "gen_20.jpg", "gen_21.jpg", "gen_cmyk.jpg", "restarts.jpg",
        "non-interleaved-mcu.jpg", "extraneous-data.jpg", "jpg-size-1x1.jpg", "gen_damaged3.jpg"})
    files.push_back(odd_path(name));
  ImageReader reader;
  int wrong = 0, crops = 0;
  for (const std::string& file : files) {
    CAPTURE(file);
    const std::vector<std::uint8_t> bytes = read_file(file, 1u << 24);
    const Image full = decode_image(bytes, file);
    Rng rng(11);
    for (int i = 0; i < 60; ++i, ++crops) {
      const ImageSize size = reader.open(bytes, file);
      Rect part = random_rect(size, rng);
      if (i == 0) part = {0, 0, size.height, size.width};
      if (i == 1) part = {size.height - 1, size.width - 1, 1, 1};
      if (i == 2) part = {0, 0, 1, 1};
      wrong += !same(reader.read(part), full, part);
    }
    CHECK(wrong == 0);
  }
  CHECK(crops == 19 * 60);
}

TEST_CASE("ImageReader: a crop of a truncated JPEG is refused although its own rows are there") {
  const std::vector<std::uint8_t> bytes = read_file(test::golden_path("images/photo_444.jpg"), 1u << 24);
  ImageReader reader;
  reader.open(std::span(bytes).first(bytes.size() * 3 / 4), "cut.jpg");
  test::check_error(ErrorKind::data, {"cut.jpg", "truncated"}, [&] { reader.read({0, 0, 8, 8}); });
}

TEST_CASE("ImageReader: parts outside of the image, or a second read of a JPEG, are errors of the caller") {
  const std::vector<std::uint8_t> bytes = odd_bytes("gen_20.jpg");
  ImageReader reader;
  reader.open(bytes, "a.jpg");
  for (const Rect part : {Rect{0, 0, 30, 1}, Rect{-1, 0, 1, 1}, Rect{0, 37, 1, 1}, Rect{0, 0, 0, 1}})
    test::check_error(ErrorKind::run, {"not inside"}, [&] { reader.read(part); });
  reader.read({0, 0, 1, 1});
  test::check_error(ErrorKind::run, {"read already"}, [&] { reader.read({0, 0, 1, 1}); });
}
