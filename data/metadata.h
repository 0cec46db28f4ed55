// The list of images of a data set: what `prepare` writes and every run reads (train.json, val.json, ...).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/sample_source.h"

namespace pen {

// {"root": string, "samples": [[path, class index], ...], "classes": [name, ...], "class_to_idx": {name: index}}.
// All paths lie in one block of memory with 32-bit offsets: a list of 1.28 million samples takes the bytes of its paths
// plus 8 bytes a sample.
class Metadata : public SampleSource {
 public:
  explicit Metadata(std::string root = {}, std::vector<std::string> classes = {});

  // Reads a file; an Error of kind `data` names the file and what is wrong with it: not JSON (line and column), a
  // wrong type, a label outside of the classes (which sample), class_to_idx that contradicts classes, no samples.
  // Keys that are not listed above are passed over. Memory: the paths' block, and the file mapped while it is read.
  static Metadata read(const std::string& file);
  // The same from text; `name` stands in messages.
  static Metadata parse(std::string_view text, const std::string& name);

  // Writes the text that Python's json.dump gives for it (ASCII, ", " and ": "), complete or not at all.
  void write(const std::string& file) const;

  void reserve(std::size_t samples, std::size_t path_bytes);
  // A path that is not UTF-8 (it could not be written as JSON), a label outside of the classes or more than 4 GiB of
  // paths is an Error of kind `data`.
  void add(std::string_view path, std::int64_t label);
  void set_label(std::int64_t i, std::int64_t label);
  // The samples of the given numbers, in that order, with the same root and classes.
  Metadata select(std::span<const std::uint32_t> order) const;

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::string path(std::int64_t i) const override { return std::string(path_view(i)); }
  std::int64_t label(std::int64_t i) const override { return labels_[checked(i)]; }
  // Valid until the next add().
  std::string_view path_view(std::int64_t i) const;

  const std::string& root() const { return root_; }
  const std::vector<std::string>& classes() const { return classes_; }
  std::int64_t class_count() const { return static_cast<std::int64_t>(classes_.size()); }
  const std::string& class_name(std::int64_t label) const;
  // Index of a class name, -1 if there is none.
  std::int64_t class_index(std::string_view name) const;

  // Bytes held for paths, offsets and labels.
  std::size_t memory_bytes() const;

 private:
  friend class MetadataReader;
  std::size_t checked(std::int64_t i) const;
  void append(std::string_view path, std::int32_t label);

  std::string root_;
  std::vector<std::string> classes_;
  std::vector<char> paths_;
  std::vector<std::uint32_t> ends_;  // path i is [ends_[i-1], ends_[i]) of paths_
  std::vector<std::int32_t> labels_;
};

// The key under which boxes and results of an image are filed: its file name up to the first dot (only of the name:
// folders may hold dots).
std::string_view image_key(std::string_view path);

}  // namespace pen
