#include "data/prepare.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/annotations.h"

namespace pen {
namespace {

using Order = std::vector<std::uint32_t>;

// Stream of the labels of train_shuffle.json.
constexpr std::uint64_t kShuffledLabelStream = 0x7368756666ull;

constexpr const char* kFiles[] = {"train.json",         "train_train.json", "train_val.json", "train_val_bboxes.json",
                                  "train_shuffle.json", "val.json",         "val_bboxes.json"};

std::string in_folder(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

void check_options(const PrepareOptions& o) {
  PEN_CHECK_AS(usage, !o.train_path.empty(), "prepare: train_path is needed");
  PEN_CHECK_AS(usage, !o.val_path.empty(), "prepare: val_path is needed");
  PEN_CHECK_AS(usage, !o.output_base_path.empty(), "prepare: output_base_path is needed");
  PEN_CHECK_AS(usage, o.num_per_class_in_train_val >= 0, "prepare: num_per_class_in_train_val is ",
               o.num_per_class_in_train_val, ", but must not be negative");
  PEN_CHECK_AS(usage, o.seed >= 0 && o.seed <= 0xffffffffll, "prepare: seed is ", o.seed, ", but must be 0 to 2^32-1");
  PEN_CHECK_AS(usage, o.image_size >= 1 && o.image_size <= 16384, "prepare: image_size is ", o.image_size,
               ", but must be 1 to 16384");
  for (const std::string& folder : {o.val_annotation_path, o.extended_annot_base_path}) {
    std::error_code error;
    PEN_CHECK_AS(data, folder.empty() || std::filesystem::is_directory(folder, error), "'", folder,
                 "' (annotations) is not a folder");
  }
  if (o.overwrite) return;
  for (const char* name : kFiles)
    if (const std::string path = in_folder(o.output_base_path, name); exists(path))
      fail(ErrorKind::usage, str("'", path, "' exists already"),
           "choose another output_base_path, or replace the files there with --overwrite");
}

// Where the annotation of a training image would be.
std::string extended_file(const PrepareOptions& o, const Metadata& train, std::int64_t i) {
  return in_folder(o.extended_annot_base_path,
                   train.class_name(train.label(i)) + "/" + std::string(image_key(train.path_view(i))) + ".xml");
}

struct Split {
  Order train_val, train_train;
  std::int64_t annotated = 0;
};

// The rule of the reference, whose order of draws it keeps: classes in the order in which they first occur; of each the
// annotated images are shuffled and the first ones taken; then both lists are shuffled.
Split split(const PrepareOptions& o, const Metadata& train, Mt19937& rng) {
  std::vector<Order> of_class(static_cast<std::size_t>(train.class_count()));
  std::vector<std::size_t> classes;
  std::vector<bool> seen(of_class.size());
  Order unannotated;
  Split out;
  for (std::int64_t i = 0; i < train.size(); ++i) {
    const auto label = static_cast<std::size_t>(train.label(i));
    if (!seen[label]) {
      seen[label] = true;
      classes.push_back(label);
    }
    const bool annotated = o.extended_annot_base_path.empty() || exists(extended_file(o, train, i));
    (annotated ? of_class[label] : unannotated).push_back(static_cast<std::uint32_t>(i));
  }
  out.train_train = std::move(unannotated);  // before the rest of the annotated ones
  const auto wanted = static_cast<std::size_t>(o.num_per_class_in_train_val);
  std::size_t short_classes = 0;
  std::string shortest;
  for (const std::size_t c : classes) {
    Order& images = of_class[c];
    out.annotated += static_cast<std::int64_t>(images.size());
    rng.shuffle(images);
    const auto middle = images.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, images.size()));
    if (images.size() < wanted && short_classes++ == 0)
      shortest = str("class '", train.classes()[c], "' has ", images.size());
    out.train_val.insert(out.train_val.end(), images.begin(), middle);
    out.train_train.insert(out.train_train.end(), middle, images.end());
  }
  if (short_classes > 0)
    log::warn(str("prepare: ", short_classes, " of ", train.class_count(), " classes have fewer than ", wanted,
                  o.extended_annot_base_path.empty() ? "" : " annotated", " images for train_val (", shortest,
                  "); all of them are taken"));
  if (out.train_train.empty())
    log::warn("prepare: train_train.json has no images left; lower num_per_class_in_train_val");
  rng.shuffle(out.train_val);
  rng.shuffle(out.train_train);
  if (o.extended_annot_base_path.empty()) out.annotated = 0;
  return out;
}

// Boxes of all images of a list. file_of(i): the annotation file of image i.
template <class FileOf>
BoxTable read_boxes(const PrepareOptions& o, const Metadata& images, const FileOf& file_of) {
  BoxTable table;
  AnnotationReader reader;
  std::unordered_map<std::string_view, std::int64_t> owner;
  for (std::int64_t i = 0; i < images.size(); ++i) {
    const std::string image = images.path(i);
    const Annotation annotation = reader.read(file_of(i), images.class_name(images.label(i)), image);
    std::vector<Box> boxes;
    for (const Box& box : annotation.boxes)
      boxes.push_back(box_in_frame(box, annotation.width, annotation.height, o.image_size, o.break_ratio));
    const std::string_view key = image_key(images.path_view(i));
    const auto [other, is_new] = owner.emplace(key, i);
    if (!is_new)
      fail(ErrorKind::data,
           str("'", images.path_view(other->second), "' and '", image, "' have the same key '", key, "'"),
           "boxes are filed under the file name up to its first dot, which must differ between images");
    table.add(std::string(key), std::move(boxes));
  }
  return table;
}

void warn_of_empty_classes(const Metadata& images, const std::string& path) {
  std::vector<bool> seen(static_cast<std::size_t>(images.class_count()));
  for (std::int64_t i = 0; i < images.size(); ++i) seen[static_cast<std::size_t>(images.label(i))] = true;
  for (std::size_t c = 0; c < seen.size(); ++c)
    if (!seen[c]) log::warn(str("prepare: class '", images.classes()[c], "' has no images in '", path, "'"));
}

}  // namespace

PrepareResult prepare(const PrepareOptions& o) {
  check_options(o);
  Mt19937 rng(static_cast<std::uint32_t>(o.seed));

  Metadata train;
  {
    const Metadata sorted = scan_images(o.train_path);
    warn_of_empty_classes(sorted, o.train_path);
    Order order(static_cast<std::size_t>(sorted.size()));
    std::iota(order.begin(), order.end(), 0u);
    rng.shuffle(order);
    train = sorted.select(order);
  }
  const Split parts = split(o, train, rng);
  const Metadata val = scan_images(o.val_path, &train.classes());
  warn_of_empty_classes(val, o.val_path);

  BoxTable train_val_boxes, val_boxes;
  const Metadata train_val = train.select(parts.train_val);
  if (!o.extended_annot_base_path.empty()) {
    if (parts.annotated == 0)
      fail(ErrorKind::data, str("'", o.extended_annot_base_path, "' has no annotation of any training image"),
           str("expected for example '", extended_file(o, train, 0), "'"));
    train_val_boxes = read_boxes(o, train_val, [&](std::int64_t i) { return extended_file(o, train_val, i); });
  }
  if (!o.val_annotation_path.empty())
    val_boxes = read_boxes(o, val, [&](std::int64_t i) {
      return in_folder(o.val_annotation_path, std::string(image_key(val.path_view(i))) + ".xml");
    });

  // Only now, when nothing can be wrong with the input any more, is anything written.
  make_folders(o.output_base_path);
  PrepareResult out;
  const auto path_of = [&](const char* name) {
    out.files.push_back(in_folder(o.output_base_path, name));
    return out.files.back();
  };
  train.write(path_of("train.json"));
  train_val.write(path_of("train_val.json"));
  if (!o.extended_annot_base_path.empty()) train_val_boxes.write(path_of("train_val_bboxes.json"));
  train.select(parts.train_train).write(path_of("train_train.json"));
  val.write(path_of("val.json"));
  if (!o.val_annotation_path.empty()) val_boxes.write(path_of("val_bboxes.json"));
  out.classes = train.class_count();
  out.train = train.size();
  out.train_train = static_cast<std::int64_t>(parts.train_train.size());
  out.train_val = train_val.size();
  out.val = val.size();
  out.annotated = parts.annotated;
  Rng labels(static_cast<std::uint64_t>(o.seed), kShuffledLabelStream);
  for (std::int64_t i = 0; i < train.size(); ++i)
    train.set_label(i, static_cast<std::int64_t>(labels.below(static_cast<std::uint64_t>(train.class_count()))));
  train.write(path_of("train_shuffle.json"));
  // Box files of an earlier run that this one did not write would contradict the new lists.
  for (const char* name : kFiles)
    if (const std::string path = in_folder(o.output_base_path, name);
        o.overwrite && std::find(out.files.begin(), out.files.end(), path) == out.files.end())
      std::filesystem::remove(path);
  return out;
}

}  // namespace pen
