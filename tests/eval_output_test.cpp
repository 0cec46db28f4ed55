// What evaluation writes: .npy arrays, tables, sheets and panels.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "data/encode.h"
#include "eval/npy.h"
#include "eval/panel.h"
#include "eval/table.h"

using namespace pen;
using namespace pen::eval;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes npy_with(const std::string& header, std::size_t data) {
  std::string file = "\x93NUMPY\x01";
  file += '\0';
  file += static_cast<char>(header.size());
  file += '\0';
  file += header + std::string(data, '\0');
  return {file.begin(), file.end()};
}

Color pixel(const Image& image, int x, int y) {
  const std::size_t at =
      (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) + static_cast<std::size_t>(x)) * 3;
  return {image.rgb[at], image.rgb[at + 1], image.rgb[at + 2]};
}

}  // namespace

TEST_CASE("npy: what is written is read, and is what NumPy writes") {
  const std::vector<float> f = {1.5f, -0.0f, std::numeric_limits<float>::infinity(), 1e-40f, 3, 4};
  const std::string path = "eval_output.npy";
  write_npy(path, std::vector<std::int64_t>{2, 3}, f);
  const Bytes file = read_file(path, 1 << 20);
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  REQUIRE(file.size() == 128 + 24);
  CHECK(std::string(file.begin() + 10, file.begin() + 10 + static_cast<std::ptrdiff_t>(header.size())) == header);
  CHECK(file[8] + 256 * file[9] == 118);
  CHECK(file[127] == '\n');
  NpyArray a = read_npy(path);
  CHECK(a.shape == std::vector<std::int64_t>{2, 3});
  CHECK(a.floats() == f);
  write_npy(path, std::vector<std::int64_t>{3}, std::vector<double>{1, 2, 0.1});
  a = read_npy(path);
  CHECK(a.type == NpyArray::Type::f64);
  CHECK(a.floats()[2] == 0.1f);
  write_npy(path, std::vector<std::int64_t>{}, Bytes{7});
  a = read_npy(path);
  CHECK(a.shape.empty());
  CHECK(a.floats() == std::vector<float>{7});
  write_npy(path, std::vector<std::int64_t>{4, 0}, std::vector<float>{});
  CHECK(read_npy(path).numel() == 0);
  CHECK_THROWS_AS(write_npy(path, std::vector<std::int64_t>{2, 2}, f), Error);
  std::remove(path.c_str());
}

TEST_CASE("npy: every cut of a file and every odd header is refused by name") {
  write_npy("eval_cut.npy", std::vector<std::int64_t>{2, 2}, std::vector<float>{1, 2, 3, 4});
  const Bytes file = read_file("eval_cut.npy", 1 << 20);
  std::remove("eval_cut.npy");
  for (std::size_t size = 0; size < file.size(); ++size) {
    CHECK_THROWS_WITH_AS(parse_npy(std::span(file).first(size), "maps/x.npy"), doctest::Contains("maps/x.npy"), Error);
  }
  Bytes longer = file;
  longer.push_back(0);
  CHECK_THROWS_AS(parse_npy(longer, "x"), Error);

  const std::string tail = ", 'shape': (2,), }";
  CHECK(parse_npy(npy_with("{'shape': (2,), 'fortran_order': False, 'descr': '<f4'}", 8), "x").numel() == 2);
  for (const std::string& header :
       {std::string("{'descr': '>f4', 'fortran_order': False") + tail,
        std::string("{'descr': '<i8', 'fortran_order': False") + tail,
        std::string("{'descr': '<f4', 'fortran_order': True") + tail,
        std::string("{'descr': '<f4', 'fortran_order': 0") + tail,
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"),
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (60000000000, 60000000000), }"),
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"), std::string("{'descr': '<f4', }"),
        std::string(""), std::string("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False") + tail,
        std::string("{'descr': '<f4', 'fortran_order': False") + tail + "x"}) {
    CAPTURE(header);
    CHECK_THROWS_AS(parse_npy(npy_with(header, 8), "x"), Error);
  }
}

TEST_CASE("tables as Markdown and CSV") {
  Table table({"mode", "LE"});
  table.add({"casme", fixed(0.3575)});
  table.add({"a|b,c", fixed(std::nan(""))});
  CHECK(table.markdown() ==
        "| mode   |    LE |\n"
        "| ------ | ----: |\n"
        "| casme  | 0.357 |\n"
        "| a\\|b,c |     - |\n");
  CHECK(table.csv() == "mode,LE\ncasme,0.357\n\"a|b,c\",-\n");
  CHECK_THROWS_AS(table.add({"one"}), Error);
}

TEST_CASE("maps are scaled with words, and never to NaN") {
  const std::vector<float> map = {-1, 0, 3}, flat(3, 2.0f), bad = {0, std::nanf(""), 1};
  CHECK(scale_map(map, MapScale::minmax).values == std::vector<float>{0, 0.25f, 1});
  CHECK(scale_map(map, MapScale::unit).values == std::vector<float>{0, 0, 1});
  CHECK(scale_map(map, MapScale::unit).words.find("cut") != std::string::npos);
  CHECK(scale_map(flat, MapScale::minmax).values == std::vector<float>(3, 0.0f));
  CHECK(scale_map(bad, MapScale::unit).values == std::vector<float>(3, 0.0f));
  CHECK(scale_map(bad, MapScale::unit).words.find("not finite") != std::string::npos);
}

TEST_CASE("pixels come back from normalised values; masks multiply those") {
  const Normalize normalize;
  Bytes rgb(4 * 4 * 3);
  std::iota(rgb.begin(), rgb.end(), std::uint8_t{100});
  std::vector<float> x(rgb.size()), ones(16, 1.0f), zeros(16, 0.0f);
  pen::normalize(rgb.data(), 4, 4, false, normalize, x.data());
  CHECK(to_pixels(x, 4, normalize).rgb == rgb);
  CHECK(masked_pixels(x, ones, 4, true, normalize).rgb == rgb);
  CHECK(masked_pixels(x, zeros, 4, false, normalize).rgb == rgb);
  CHECK(pixel(masked_pixels(x, zeros, 4, true, normalize), 2, 3) == Color{124, 116, 104});  // the mean, times 255
}

TEST_CASE("colours, blending and boxes") {
  const std::vector<float> map = {0, 1};
  const Image viridis = colored(map, 1, 2, ColorMap::viridis);
  CHECK(pixel(viridis, 0, 0) == Color{68, 1, 84});
  CHECK(pixel(viridis, 1, 0) == Color{253, 231, 37});
  CHECK(pixel(colored(map, 1, 2, ColorMap::gray), 1, 0) == Color{255, 255, 255});
  const Image jet = colored(map, 1, 2, ColorMap::jet);
  CHECK(pixel(jet, 0, 0)[2] > pixel(jet, 0, 0)[0]);  // blue is low, red is high
  CHECK(pixel(jet, 1, 0)[0] > pixel(jet, 1, 0)[2]);
  CHECK(blended(viridis, jet, 0).rgb == viridis.rgb);
  CHECK(blended(viridis, jet, 1).rgb == jet.rgb);
  CHECK_THROWS_AS(parse_color_map("rainbow"), Error);

  Image image{20, 20, Bytes(20 * 20 * 3, 0)};
  const Color red = {255, 0, 0}, black = {0, 0, 0};
  draw_box(image, {2, 3, 6, 7}, 10, red, 1);  // in pixels of the image: 4..12, 6..14
  CHECK(pixel(image, 4, 6) == red);
  CHECK(pixel(image, 11, 13) == red);
  CHECK(pixel(image, 3, 6) == black);
  CHECK(pixel(image, 12, 13) == black);
  CHECK(pixel(image, 8, 10) == black);
  const Bytes before = image.rgb;
  draw_box(image, {5, 5, 5, 9}, 10, red);
  CHECK(image.rgb == before);
  draw_box(image, {-9, -9, 99, 99}, 10, red);  // beyond the frame: its lines are outside
  CHECK(image.rgb == before);
}

TEST_CASE("text covers its place, is cut at the border, and takes any bytes") {
  Image image{40, 120, Bytes(40 * 120 * 3, 255)};
  draw_text(image, 10, 10, "Ag", 11, {0, 0, 0});
  int dark_inside = 0, dark_outside = 0;
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 120; ++x) {
      const bool inside = x >= 9 && x <= 11 + text_width("Ag", 11) && y >= 8 && y < 10 + 17;
      (inside ? dark_inside : dark_outside) += pixel(image, x, y)[0] < 128;
    }
  }
  CHECK(dark_inside > 20);
  CHECK(dark_outside == 0);
  CHECK(text_width("\xC3\xA9t\xC3\xA9", 11) == text_width("?t?", 11));
  CHECK(text_width("wider text", 11) > text_width("text", 11));
  draw_text(image, -30, -5, "cut at every side of the picture, wherever it starts", 11, {0, 0, 0});
  draw_text(image, 100, 35, "cut", 11, {0, 0, 0});
}

TEST_CASE("panels of small and odd inputs") {
  for (const int size : {1, 7, 112, 230}) {
    CAPTURE(size);
    const std::size_t pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    const std::vector<float> x(3 * pixels, 0.3f), mask(pixels, 0.5f);
    const PanelInput input{x, mask, size, {0, 0, size, size}, {{-3, 0, size, size + 9}}, {"top: cat 0.9", ""}};
    const std::vector<PanelInput> inputs = {input, input};
    const Sheet sheet = panel_sheet(inputs);
    REQUIRE(sheet.rows.size() == 2);
    for (const Image& cell : sheet.rows[0].cells) {
      CHECK(cell.height == std::max(224, size));
      CHECK(cell.width == cell.height);
    }
    CHECK(sheet.rows[0].caption.back().find("0.500") != std::string::npos);
    const Image image = compose(sheet);
    CHECK(image.width > 6 * std::max(224, size));
    CHECK(image.rgb.size() == static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3);
    CHECK_FALSE(encode_png(image.height, image.width, 3, image.rgb).empty());
    CHECK(compose(panel_sheet(inputs)).rgb == image.rgb);
  }
  CHECK_THROWS_AS(compose(Sheet{}), Error);
  Sheet wrong;
  wrong.columns = {"a", "b"};
  wrong.rows.push_back({"", {Image{1, 1, Bytes(3)}}, {}});
  CHECK_THROWS_AS(compose(wrong), Error);
}

TEST_CASE("captions are wrapped at the sheet's width") {
  Sheet sheet;
  sheet.columns = {"x"};
  sheet.rows.push_back({"row", {Image{60, 90, Bytes(60 * 90 * 3, 9)}}, {}});
  const Image plain = compose(sheet);
  sheet.rows[0].caption = {"a caption that is a good deal wider than the single picture above it"};
  const Image wrapped = compose(sheet);
  CHECK(wrapped.width == plain.width);
  CHECK(wrapped.height >= plain.height + 4 * line_height(sheet.text));
  sheet.rows[0].caption = {std::string(500, 'W')};  // no place to break
  CHECK(compose(sheet).width == plain.width);
}
