// Bounding boxes of images, and the JSON files that hold them (val_bboxes.json, recorded predictions).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pen {

// Corners in pixels, x to the right and y down; xmax and ymax are used as exclusive ends. Not clipped: a box in the
// frame of a cropped image may start below 0 and end beyond it.
struct Box {
  std::int64_t xmin = 0, ymin = 0, xmax = 0, ymax = 0;
  friend bool operator==(const Box&, const Box&) = default;
};

// {"key": [{"xmin", "ymin", "xmax", "ymax"}, ...], ...}: the boxes of each image, keyed by image_key(path).
class BoxTable {
 public:
  // An Error of kind `data` names file, key and what is wrong: not JSON (line and column), a wrong type, a corner that
  // is missing, no integer or beyond +-2^30, a key that occurs twice.
  static BoxTable read(const std::string& file);
  static BoxTable parse(std::string_view text, const std::string& name);
  // In the order of add(), as Python's json.dump writes it; complete or not at all.
  void write(const std::string& file) const;

  // False, and nothing changes, if the key is there already.
  bool add(std::string key, std::vector<Box> boxes);
  // Null if the image has no entry.
  const std::vector<Box>* find(std::string_view key) const;
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  struct Entry {
    std::string key;
    std::vector<Box> boxes;
  };
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace pen
