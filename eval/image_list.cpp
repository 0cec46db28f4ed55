#include "eval/image_list.h"

#include <filesystem>
#include <unordered_map>

#include "base/check.h"
#include "eval/run_explain.h"

namespace pen::eval {
namespace fs = std::filesystem;

void ImageList::add(const std::string& path, const std::string& folder, std::int64_t label) {
  const fs::path file = fs::path(path).lexically_normal();
  fs::path id = file.filename();
  if (!folder.empty()) {
    const fs::path base = fs::absolute(folder).lexically_normal();
    id = fs::absolute(file).lexically_relative(base);
    PEN_CHECK_AS(data, !id.empty() && *id.begin() != "..", "'", path, "' does not lie below '", folder,
                 "': its map would have no place");
  }
  paths_.push_back(path);
  ids_.push_back(id.generic_string());
  labels_.push_back(label);
}

void ImageList::check_ids() const {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    const auto [it, fresh] = seen.emplace(ids_[i], i);
    if (!fresh)
      fail(ErrorKind::data,
           str("'", paths_[it->second], "' and '", paths_[i], "' would both be filed as '", ids_[i], "'"),
           "--root names the folder that images are filed relative to");
  }
}

ImageList ImageList::of_metadata(const Metadata& metadata, const std::string& root) {
  ImageList out;
  for (std::int64_t i = 0; i < metadata.size(); ++i)
    out.add(metadata.path(i), root.empty() ? metadata.root() : root, metadata.label(i));
  out.check_ids();
  return out;
}

ImageList ImageList::of_words(const std::vector<std::string>& words, const std::string& root) {
  ImageList out;
  for (const std::string& word : words) {
    std::error_code error;
    const bool folder = word != "-" && fs::is_directory(word, error);
    for (const std::string& path : listed_images({word})) {
      PEN_CHECK_AS(data, !folder || path != word, "the folder '", word, "' holds no images");
      out.add(path, root.empty() && folder ? word : root, 0);
    }
  }
  out.check_ids();
  return out;
}

void ImageList::keep_first(std::int64_t count) {
  if (count <= 0 || count >= size()) return;
  const auto n = static_cast<std::size_t>(count);
  paths_.resize(n);
  ids_.resize(n);
  labels_.resize(n);
}

}  // namespace pen::eval
