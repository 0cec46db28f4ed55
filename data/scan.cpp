// Finding the images below a folder of class folders.
#include <algorithm>
#include <array>
#include <filesystem>

#include "base/check.h"
#include "data/prepare.h"

namespace pen {
namespace {
namespace fs = std::filesystem;

// Deeper is a symbolic link that leads back up.
constexpr int kMaxDepth = 32;

bool is_image_name(std::string_view name) {
  constexpr std::array<std::string_view, 9> endings = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                       ".pgm", ".tif",  ".tiff", ".webp"};
  std::string lower(name);
  for (char& ch : lower)
    if (ch >= 'A' && ch <= 'Z') ch = static_cast<char>(ch - 'A' + 'a');
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view e) { return lower.ends_with(e); });
}

std::string joined(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

struct Listing {
  std::vector<std::string> folders, files;  // names, sorted by bytes
};

Listing list_folder(const std::string& path) {
  Listing out;
  std::error_code error;
  fs::directory_iterator entries(path, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code broken_link;
    const bool folder = entries->is_directory(broken_link);
    (folder ? out.folders : out.files).push_back(entries->path().filename().string());
  }
  if (error) fail(ErrorKind::data, str("cannot list the folder '", path, "': ", error.message()));
  std::sort(out.folders.begin(), out.folders.end());
  std::sort(out.files.begin(), out.files.end());
  return out;
}

void collect(const std::string& folder, int depth, std::vector<std::pair<std::string, std::vector<std::string>>>& out) {
  PEN_CHECK_AS(data, depth <= kMaxDepth, "'", folder, "' is ", kMaxDepth,
               " folders deep: does a symbolic link lead back to a folder above it?");
  Listing listing = list_folder(folder);
  std::erase_if(listing.files, [](const std::string& name) { return !is_image_name(name); });
  out.emplace_back(folder, std::move(listing.files));
  for (const std::string& name : listing.folders) collect(joined(folder, name), depth + 1, out);
}

std::vector<std::pair<std::string, std::vector<std::string>>> folders_below(const std::string& root) {
  std::vector<std::pair<std::string, std::vector<std::string>>> folders;
  collect(root, 0, folders);
  std::sort(folders.begin(), folders.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return folders;
}

}  // namespace

std::vector<std::string> images_below(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& [below, files] : folders_below(folder))
    for (const std::string& file : files) out.push_back(joined(below, file));
  return out;
}

Metadata scan_images(const std::string& root, const std::vector<std::string>* classes) {
  std::error_code error;
  PEN_CHECK_AS(data, fs::is_directory(root, error), "'", root, "' is not a folder");
  const std::vector<std::string> found = list_folder(root).folders;
  PEN_CHECK_AS(data, !found.empty(), "'", root, "' has no class folders: images are expected in <folder>/<class>/");
  Metadata out(root, classes ? *classes : found);
  for (const std::string& name : found) {
    const std::int64_t label = out.class_index(name);
    if (label < 0)
      fail(ErrorKind::data, str("'", joined(root, name), "' is a class that the training images do not have"),
           "remove the folder, or add images of this class to the training folder");
    for (const std::string& file : images_below(joined(root, name))) out.add(file, label);
  }
  PEN_CHECK_AS(data, out.size() > 0, "no images in the class folders of '", root,
               "' (names that end with .jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp)");
  return out;
}

}  // namespace pen
