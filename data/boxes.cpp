#include "data/boxes.h"

#include <cmath>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "data/json_text.h"

namespace pen {
namespace {

std::int64_t corner(const rapidjson::Value& box, const char* which, const std::string& name, std::string_view key) {
  const auto found = box.FindMember(which);
  PEN_CHECK_AS(data, found != box.MemberEnd(), "'", name, "': a box of '", key, "' has no ", which);
  // Python programs may write 12.0 for 12
  const double v = found->value.IsNumber() ? found->value.GetDouble() : std::nan("");
  PEN_CHECK_AS(data, std::abs(v) <= 1 << 30 && v == std::floor(v), "'", name, "': ", which, " of a box of '", key,
               "' must be an integer of at most 2^30");
  return static_cast<std::int64_t>(v);
}

}  // namespace

BoxTable BoxTable::parse(std::string_view text, const std::string& name) {
  const rapidjson::Document document = parse_json(text, name);
  PEN_CHECK_AS(data, document.IsObject(), "'", name, "' must be an object of image key: list of boxes");
  BoxTable table;
  for (const auto& member : document.GetObject()) {
    const std::string key(member.name.GetString(), member.name.GetStringLength());
    PEN_CHECK_AS(data, member.value.IsArray(), "'", name, "': the value of '", key, "' must be a list of boxes");
    std::vector<Box> boxes;
    for (const auto& box : member.value.GetArray()) {
      PEN_CHECK_AS(data, box.IsObject(), "'", name, "': a box of '", key, "' must be an object");
      boxes.push_back({corner(box, "xmin", name, key), corner(box, "ymin", name, key), corner(box, "xmax", name, key),
                       corner(box, "ymax", name, key)});
    }
    PEN_CHECK_AS(data, table.add(key, std::move(boxes)), "'", name, "': the key '", key, "' occurs twice");
  }
  return table;
}

BoxTable BoxTable::read(const std::string& file) {
  const MappedFile map(file);
  PEN_CHECK_AS(data, !map.bytes().empty(), "'", file, "' is empty");
  return parse({reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()}, file);
}

void BoxTable::write(const std::string& file) const {
  std::string text = "{";
  for (const auto& [key, boxes] : entries_) {
    if (text.size() > 1) text += ", ";
    append_json_string(text, key);
    text += ": [";
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const Box& b = boxes[i];
      if (i > 0) text += ", ";
      text += str("{\"xmin\": ", b.xmin, ", \"ymin\": ", b.ymin, ", \"xmax\": ", b.xmax, ", \"ymax\": ", b.ymax, "}");
    }
    text += ']';
  }
  text += '}';
  write_file(file, text);
}

bool BoxTable::add(std::string key, std::vector<Box> boxes) {
  if (!index_.emplace(key, entries_.size()).second) return false;
  entries_.push_back({std::move(key), std::move(boxes)});
  return true;
}

const std::vector<Box>* BoxTable::find(std::string_view key) const {
  const auto found = index_.find(std::string(key));
  return found == index_.end() ? nullptr : &entries_[found->second].boxes;
}

}  // namespace pen
