#include "eval/wsol/dataset.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <opencv2/imgproc.hpp>
#include <set>

#include "base/check.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "data/image.h"
#include "data/loader.h"
#include "data/metadata.h"
#include "eval/box.h"
#include "eval/opencv_threads.h"
#include "eval/wsol/box_accuracy.h"
#include "tensor/memory.h"

namespace pen::eval::wsol {
namespace {
namespace fs = std::filesystem;

// Sets `out` to `value` where the mask of the file is, at (side, side): its gray value, resized by nearest neighbour,
// above 0.5. Returns how many pixels were `over` before.
std::int64_t add_mask(const std::string& file, std::uint8_t value, std::uint8_t over, int side,
                      std::span<std::uint8_t> out) {
  keep_opencv_single_threaded();
  const Image image = read_image(file);
  const cv::Mat rgb(image.height, image.width, CV_8UC3, const_cast<std::uint8_t*>(image.rgb.data()));
  cv::Mat gray, small;
  cv::cvtColor(rgb, gray, cv::COLOR_RGB2GRAY);
  cv::resize(gray, small, {side, side}, 0, 0, cv::INTER_NEAREST);
  std::int64_t covered = 0;
  for (int y = 0; y < side; ++y) {
    const std::uint8_t* row = small.ptr<std::uint8_t>(y);
    for (int x = 0; x < side; ++x) {
      if (row[x] == 0) continue;
      std::uint8_t& pixel = out[static_cast<std::size_t>(y * side + x)];
      covered += pixel == over;
      pixel = value;
    }
  }
  return covered;
}

}  // namespace

void Contested::add(const std::string& id, std::int64_t count) {
  if (count == 0) return;
  if (images++ == 0) first = id;
  pixels += count;
}

std::string Contested::warning() const {
  if (images == 0) return {};
  return str("of ", images, images == 1 ? " image " : " images ", pixels,
             " pixels are annotated as object and as ignored: they count as object; the first image is '", first, "'");
}

Dataset::Dataset(const JudgedImages& options) : options_(options) {
  options.dataset.empty() ? open_json() : open_listed();
  PEN_CHECK_AS(data, !entries_.empty(), "there are no images");
  set_size(side_);
}

void Dataset::set_size(std::int64_t size) {
  side_ = size;
  if (options_.dataset.empty() && has_masks_) true_masks_.emplace(options_.masks_path, transform());
  for (Entry& entry : entries_) {
    entry.boxes.clear();
    for (const Box& box : entry.annotated) {
      if (entry.width > 0) {
        entry.boxes.push_back(resized(box, entry.width, entry.height, size, size, entry.id));
        continue;
      }
      const Box in = clipped(box, size);
      if (area(in) > 0) entry.boxes.push_back({in.xmin, in.ymin, in.xmax - 1, in.ymax - 1});
    }
    // Annotated, but cut away: a box that meets no other, so that the image counts as missed.
    if (entry.boxes.empty()) entry.boxes.push_back({-2, -2, -2, -2});
  }
}

const Dataset::Entry& Dataset::at(std::int64_t i) const {
  PEN_CHECK(i >= 0 && i < size(), "image ", i, " of ", size());
  return entries_[static_cast<std::size_t>(i)];
}

Transform Dataset::transform() const {
  return options_.dataset.empty() ? Transform::score(static_cast<int>(side_), options_.break_ratio)
                                  : Transform::wsol(static_cast<int>(side_));
}

// The numbers of the images that --limit and --spread leave of a list, ascending.
std::vector<std::int64_t> Dataset::chosen_images(std::int64_t all) const {
  const std::int64_t count = options_.limit > 0 ? std::min(options_.limit, all) : all;
  std::vector<std::int64_t> out(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) out[static_cast<std::size_t>(i)] = options_.spread ? i * all / count : i;
  return out;
}

void Dataset::open_listed() {
  const fs::path images = fs::path(options_.dataset_path) / options_.dataset;
  const std::string folder = (fs::path(options_.metadata_path) / options_.dataset / options_.dataset_split).string();
  has_masks_ = options_.dataset == "OpenImages";
  has_boxes_ = !has_masks_;
  std::vector<ListedImage> listed = read_metadata(folder, has_masks_ ? Truth::masks : Truth::boxes);
  for (const ListedImage& image : listed) classes_ = std::max(classes_, image.label + 1);
  const std::vector<std::int64_t> chosen = chosen_images(static_cast<std::int64_t>(listed.size()));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (const auto from = static_cast<std::size_t>(chosen[i]); from != i) listed[i] = std::move(listed[from]);
  listed.resize(chosen.size());

  std::map<std::string, std::pair<std::string, std::int64_t>> real;  // id -> path and label
  dummies_ = options_.imagenet_val_path.empty();
  if (!dummies_) {
    const Metadata metadata = Metadata::read(options_.imagenet_val_path);
    classes_ = metadata.class_count();
    for (std::int64_t i = 0; i < metadata.size(); ++i)
      real["val/" + fs::path(metadata.path(i)).filename().string()] = {metadata.path(i), metadata.label(i)};
  }
  for (ListedImage& image : listed) {
    Entry entry;
    entry.id = image.id;
    entry.path = (images / image.id).string();
    entry.label = image.label;
    if (!dummies_) {
      const auto found = real.find(image.id);
      PEN_CHECK_AS(data, found != real.end(), "'", image.id, "' of '", folder, "' is not among the images of '",
                   options_.imagenet_val_path, "'");
      entry.path = found->second.first;
      entry.label = found->second.second;
    }
    entry.width = image.width;
    entry.height = image.height;
    entry.annotated = image.boxes;
    // wsolevaluation's mask root is the data set's own folder.
    for (const std::string& mask : image.masks) entry.masks.push_back((images / mask).string());
    if (!image.ignore.empty()) entry.ignore = (images / image.ignore).string();
    entries_.push_back(std::move(entry));
  }
}

void Dataset::open_json() {
  const Metadata metadata = Metadata::read(options_.val_json);
  classes_ = metadata.class_count();
  has_boxes_ = !options_.bboxes_path.empty();
  has_masks_ = !options_.masks_path.empty();
  BoxTable table;
  if (has_boxes_) table = BoxTable::read(options_.bboxes_path);
  std::set<std::string> ids;
  for (const std::int64_t i : chosen_images(metadata.size())) {
    const fs::path path(metadata.path(i));
    Entry entry;
    entry.path = path.string();
    entry.id = (path.parent_path().filename() / path.filename()).string();
    entry.label = metadata.label(i);
    PEN_CHECK_AS(data, ids.insert(entry.id).second, "'", options_.val_json, "' lists two images '", entry.id, "'");
    if (has_boxes_) {
      const std::vector<Box>* boxes = table.find(image_key(entry.path));
      PEN_CHECK_AS(data, boxes && !boxes->empty(), "'", entry.path, "' has no annotated box in '", options_.bboxes_path,
                   "'");
      for (const Box& box : *boxes) {
        PEN_CHECK_AS(data, box.xmin <= box.xmax && box.ymin <= box.ymax, "'", entry.path, "': box (", box.xmin, ", ",
                     box.ymin, ", ", box.xmax, ", ", box.ymax, ") ends before it starts");
      }
      entry.annotated = *boxes;
    }
    entries_.push_back(std::move(entry));
  }
}

std::int64_t Dataset::load_mask(std::int64_t i, std::span<std::uint8_t> out) const {
  const Entry& entry = at(i);
  const int side = static_cast<int>(side_);
  PEN_CHECK(has_masks_ && out.size() == static_cast<std::size_t>(side) * static_cast<std::size_t>(side),
            "true mask: ", out.size(), " pixels, expected side ", side);
  if (true_masks_) {
    true_masks_->load(entry.path, out);
    return 0;
  }
  constexpr std::uint8_t background = 0, object = 1, ignored = 255;
  std::fill(out.begin(), out.end(), background);
  if (!entry.ignore.empty()) add_mask(entry.ignore, ignored, background, side, out);
  std::int64_t contested = 0;
  for (const std::string& mask : entry.masks) contested += add_mask(mask, object, ignored, side, out);
  return contested;
}

std::vector<Box> Dataset::score_boxes(std::int64_t i) const {
  const Entry& entry = at(i);
  if (entry.width == 0) return entry.annotated;
  std::vector<Box> out = entry.boxes;
  for (Box& box : out) {
    ++box.xmax;
    ++box.ymax;
  }
  return out;
}

void Dataset::check_files() const {
  for (const Entry& entry : entries_) {
    std::error_code error;
    PEN_CHECK_AS(data, fs::exists(entry.path, error), "the image of '", entry.id, "' is not there: '", entry.path, "'");
  }
}

bool each_batch(const Dataset& dataset, bool images, const std::string& what, Device device,
                const std::function<void(const Batch&, std::int64_t first)>& body) {
  const JudgedImages& options = dataset.options();
  const std::int64_t together = std::min(options.batch_size, images_at_once);
  log::Progress progress(what, dataset.size());
  std::int64_t done = 0;
  const auto one = [&](const Batch& batch) {
    if (done > 0 && batch.n < together) release_cached_memory(device);
    body(batch, done);
    done += batch.n;
    progress.advance(batch.n);
    if (!interrupt::requested()) return true;
    progress.finish();
    log::warn("interrupted: no results were written");
    return false;
  };
  if (!images) {
    while (done < dataset.size()) {
      Batch batch;
      batch.n = std::min(together, dataset.size() - done);
      if (!one(batch)) return false;
    }
    return true;
  }
  LoaderOptions loading;
  loading.batch_size = static_cast<int>(together);
  loading.workers = static_cast<int>(options.workers);
  loading.bad_files = BadFiles::fail;
  const Transform transform = dataset.transform();
  Loader loader(dataset, transform, loading);
  loader.start_epoch(0);
  while (const BatchPtr loaded = loader.next()) {
    const std::int64_t size = transform.size;
    const auto values = static_cast<std::size_t>(loaded->size * size * size * 3);
    if (!one({loaded->size, size, std::span(loaded->images).first(values), loaded->labels, loaded->paths}))
      return false;
  }
  return true;
}

}  // namespace pen::eval::wsol
