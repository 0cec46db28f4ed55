#include "data/metadata.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/check.h"
#include "base/file.h"
#include "data/json_text.h"

namespace pen {
namespace {
constexpr std::size_t kMaxPathBytes = std::numeric_limits<std::uint32_t>::max();
}

Metadata::Metadata(std::string root, std::vector<std::string> classes)
    : root_(std::move(root)), classes_(std::move(classes)) {}

std::size_t Metadata::checked(std::int64_t i) const {
  PEN_CHECK(i >= 0 && i < size(), "metadata: sample ", i, " of ", size());
  return static_cast<std::size_t>(i);
}

std::string_view Metadata::path_view(std::int64_t i) const {
  const std::size_t index = checked(i);
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  return {paths_.data() + begin, ends_[index] - begin};
}

const std::string& Metadata::class_name(std::int64_t label) const {
  PEN_CHECK(label >= 0 && label < class_count(), "metadata: class ", label, " of ", class_count());
  return classes_[static_cast<std::size_t>(label)];
}

std::int64_t Metadata::class_index(std::string_view name) const {
  const auto found = std::find(classes_.begin(), classes_.end(), name);
  return found == classes_.end() ? -1 : found - classes_.begin();
}

void Metadata::reserve(std::size_t samples, std::size_t path_bytes) {
  paths_.reserve(path_bytes);
  ends_.reserve(samples);
  labels_.reserve(samples);
}

void Metadata::append(std::string_view path, std::int32_t label) {
  PEN_CHECK_AS(data, path.size() <= kMaxPathBytes - paths_.size(), "metadata: more than 4 GiB of paths");
  paths_.insert(paths_.end(), path.begin(), path.end());
  ends_.push_back(static_cast<std::uint32_t>(paths_.size()));
  labels_.push_back(label);
}

void Metadata::add(std::string_view path, std::int64_t label) {
  PEN_CHECK_AS(data, is_plain_utf8(path), "'", path, "': the path is not valid UTF-8; rename the file or its folder");
  PEN_CHECK_AS(data, label >= 0 && label < class_count(), "'", path, "': label ", label, ", but there are ",
               class_count(), " classes");
  append(path, static_cast<std::int32_t>(label));
}

void Metadata::set_label(std::int64_t i, std::int64_t label) {
  PEN_CHECK_AS(data, label >= 0 && label < class_count(), "metadata: label ", label, ", but there are ", class_count(),
               " classes");
  labels_[checked(i)] = static_cast<std::int32_t>(label);
}

Metadata Metadata::select(std::span<const std::uint32_t> order) const {
  Metadata out(root_, classes_);
  std::size_t bytes = 0;
  for (const std::uint32_t i : order) bytes += path_view(i).size();
  out.reserve(order.size(), bytes);
  for (const std::uint32_t i : order) out.append(path_view(i), labels_[i]);
  return out;
}

std::size_t Metadata::memory_bytes() const {
  return paths_.capacity() + ends_.capacity() * sizeof(ends_[0]) + labels_.capacity() * sizeof(labels_[0]);
}

void Metadata::write(const std::string& file) const {
  AtomicFile out(file);
  std::string text = "{\"root\": ";
  const auto number = [&text](std::int64_t value) {
    char digits[24];
    text.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  };
  append_json_string(text, root_);
  text += ", \"samples\": [";
  for (std::int64_t i = 0; i < size(); ++i) {
    text += i == 0 ? "[" : ", [";
    append_json_string(text, path_view(i));
    text += ", ";
    number(labels_[static_cast<std::size_t>(i)]);
    text += ']';
    if (text.size() > 1u << 16) {
      out.write(text);
      text.clear();
    }
  }
  text += "], \"classes\": [";
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    if (i > 0) text += ", ";
    append_json_string(text, classes_[i]);
  }
  text += "], \"class_to_idx\": {";
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    if (i > 0) text += ", ";
    append_json_string(text, classes_[i]);
    text += ": ";
    number(static_cast<std::int64_t>(i));
  }
  text += "}}";
  out.write(text);
  out.commit();
}

std::string_view image_key(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return path.substr(0, path.find('.'));
}

}  // namespace pen
