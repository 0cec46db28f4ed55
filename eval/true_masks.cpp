#include "eval/true_masks.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/metadata.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

// The pixel of n that holds the centre of pixel i of `resized`.
int source_of(int i, int resized, int n) {
  return std::min(static_cast<int>((2 * std::int64_t{i} + 1) * n / (2 * std::int64_t{resized})), n - 1);
}

}  // namespace

TrueMasks::TrueMasks(std::string folder, const Transform& transform)
    : folder_(std::move(folder)), transform_(transform) {
  std::error_code error;
  PEN_CHECK_AS(data, fs::is_directory(folder_, error), "'", folder_, "' is not a folder of masks");
}

std::string TrueMasks::file_of(const std::string& image) const {
  const std::string name = std::string(image_key(image)) + ".png";
  const fs::path nested = fs::path(folder_) / fs::path(image).parent_path().filename() / name;
  std::error_code error;
  if (fs::exists(nested, error)) return nested.string();
  const fs::path flat = fs::path(folder_) / name;
  PEN_CHECK_AS(data, fs::exists(flat, error), "the mask of '", image, "' is missing: neither '", nested.string(),
               "' nor '", flat.string(), "' is there");
  return flat.string();
}

void TrueMasks::load(const std::string& image, std::span<std::uint8_t> out) const {
  const auto side = static_cast<std::size_t>(transform_.size);
  PEN_CHECK(out.size() == side * side, "true mask: ", out.size(), " pixels, expected side ", side);
  const std::string file = file_of(image);
  const Image mask = read_image(file);
  {
    const std::vector<std::uint8_t> bytes = read_file(image, DecodeLimits{}.max_bytes);
    const ImageSize size = ImageReader().open(bytes, image);
    PEN_CHECK_AS(data, size.height == mask.height && size.width == mask.width, "'", file, "' is ", mask.width, "x",
                 mask.height, ", its image ", size.width, "x", size.height);
  }
  Rng unused;
  const Placement placed = place(transform_, {mask.height, mask.width}, unused);
  std::int64_t object = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int y = placed.top + static_cast<int>(i / side), x = placed.left + static_cast<int>(i % side);
    out[i] = 0;
    if (y < 0 || x < 0 || y >= placed.resized.height || x >= placed.resized.width) continue;
    const int row = placed.crop.top + source_of(y, placed.resized.height, placed.crop.height);
    const int column = placed.crop.left + source_of(x, placed.resized.width, placed.crop.width);
    const std::size_t at =
        (static_cast<std::size_t>(row) * static_cast<std::size_t>(mask.width) + static_cast<std::size_t>(column)) * 3;
    out[i] = mask.rgb[at] >= 128;
    object += out[i];
  }
  PEN_CHECK_AS(data, object > 0, "'", file, "': no pixel of the object is left in the network's input");
}

}  // namespace pen::eval
