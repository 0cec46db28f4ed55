#include "eval/wsol/metadata.h"

#include <charconv>
#include <filesystem>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"

namespace pen::eval::wsol {
namespace {

// Of the largest published list: 37,319 OpenImages lines take 8 MB.
constexpr std::uint64_t max_bytes = std::uint64_t{1} << 30;

struct Line {
  std::string where;  // file and line, for messages
  std::vector<std::string_view> fields;

  std::int64_t number(std::size_t i) const {
    std::int64_t value = 0;
    const std::string_view text = fields[i];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    PEN_CHECK_AS(data,
                 error == std::errc() && end == text.data() + text.size() && value >= -(1 << 30) && value <= 1 << 30,
                 where, ": '", text, "' is no integer");
    return value;
  }
};

// Calls body for each line that is not empty. Fields are parted by commas; a last line may lack its end.
void each_line(std::string_view text, const std::string& file, const std::vector<std::size_t>& counts,
               const std::string& form, const std::function<void(const Line&)>& body) {
  std::int64_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view rest = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (rest.ends_with('\r')) rest.remove_suffix(1);
    if (rest.empty()) continue;
    Line line{str("'", file, "' line ", number), {}};
    if (counts.size() == 1 && counts[0] == 1) {
      line.fields.push_back(rest);
    } else {
      for (std::size_t from = 0; from <= rest.size();) {
        const std::size_t comma = std::min(rest.find(',', from), rest.size());
        line.fields.push_back(rest.substr(from, comma - from));
        from = comma + 1;
      }
    }
    bool fits = false;
    for (const std::size_t count : counts) fits |= line.fields.size() == count;
    PEN_CHECK_AS(data, fits && !line.fields[0].empty(), line.where, ": '", rest, "' is not ", form);
    body(line);
  }
}

}  // namespace

std::vector<ListedImage> read_metadata(const std::string& folder, Truth truth) {
  const auto text = [&](const char* name) {
    const std::vector<std::uint8_t> bytes = read_file((std::filesystem::path(folder) / name).string(), max_bytes);
    return std::string(bytes.begin(), bytes.end());
  };
  return parse_metadata({text("image_ids.txt"), text("class_labels.txt"),
                         truth == Truth::boxes ? text("image_sizes.txt") : std::string{}, text("localization.txt")},
                        folder, truth);
}

std::vector<ListedImage> parse_metadata(const MetadataTexts& texts, const std::string& folder, Truth truth) {
  const auto file = [&](const char* name) { return (std::filesystem::path(folder) / name).string(); };
  std::vector<ListedImage> images;
  std::unordered_map<std::string, std::size_t> index;
  each_line(texts.image_ids, file("image_ids.txt"), {1}, "an image's id", [&](const Line& line) {
    std::string id(line.fields[0]);
    PEN_CHECK_AS(data, index.emplace(id, images.size()).second, line.where, ": '", id, "' is listed twice");
    images.emplace_back().id = std::move(id);
  });
  PEN_CHECK_AS(data, !images.empty(), "'", file("image_ids.txt"), "' lists no images");

  // Calls body with the image that a line is about, if it is listed; afterwards every image must have been met.
  std::vector<bool> met;
  const auto each = [&](const std::string& text, const char* name, const std::vector<std::size_t>& counts,
                        const std::string& form, const std::function<void(ListedImage&, const Line&, bool)>& body) {
    met.assign(images.size(), false);
    each_line(text, file(name), counts, form, [&](const Line& line) {
      const auto found = index.find(std::string(line.fields[0]));
      if (found == index.end()) return;
      body(images[found->second], line, met[found->second]);
      met[found->second] = true;
    });
    for (std::size_t i = 0; i < images.size(); ++i)
      PEN_CHECK_AS(data, met[i], "'", images[i].id, "' has no entry in '", file(name), "'");
  };
  each(texts.class_labels, "class_labels.txt", {2}, "id,class", [](ListedImage& image, const Line& line, bool) {
    image.label = line.number(1);
    PEN_CHECK_AS(data, image.label >= 0, line.where, ": class ", image.label, " is negative");
  });
  if (truth == Truth::masks) {
    each(texts.localization, "localization.txt", {3}, "id,mask,ignore",
         [](ListedImage& image, const Line& line, bool again) {
           PEN_CHECK_AS(data, !line.fields[1].empty(), line.where, ": the mask of '", image.id, "' has no name");
           image.masks.emplace_back(line.fields[1]);
           if (line.fields[2].empty()) return;
           PEN_CHECK_AS(data, !again, line.where, ": '", image.id, "' has a second ignore mask");
           image.ignore = line.fields[2];
         });
    return images;
  }
  each(texts.image_sizes, "image_sizes.txt", {3}, "id,width,height", [](ListedImage& image, const Line& line, bool) {
    image.width = line.number(1);
    image.height = line.number(2);
    PEN_CHECK_AS(data, image.width > 0 && image.height > 0, line.where, ": ", image.width, "x", image.height,
                 " is no image's size");
  });
  each(texts.localization, "localization.txt", {5}, "id,x0,y0,x1,y1", [](ListedImage& image, const Line& line, bool) {
    const Box box{line.number(1), line.number(2), line.number(3), line.number(4)};
    PEN_CHECK_AS(data,
                 0 <= box.xmin && box.xmin <= box.xmax && 0 <= box.ymin && box.ymin <= box.ymax &&
                     box.xmax < image.width && box.ymax < image.height,
                 line.where, ": box (", box.xmin, ", ", box.ymin, ", ", box.xmax, ", ", box.ymax, ") of '", image.id,
                 "' is not x0, y0, x1, y1 with 0 <= x0 <= x1 < ", image.width, " and 0 <= y0 <= y1 < ", image.height);
    image.boxes.push_back(box);
  });
  return images;
}

}  // namespace pen::eval::wsol
