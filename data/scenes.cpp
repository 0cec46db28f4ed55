#include "data/scenes.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <mutex>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/annotations.h"
#include "data/encode.h"
#include "data/idx.h"

namespace pen {
namespace {
namespace fs = std::filesystem;

struct GarmentClass {
  const char* name;
  std::uint8_t label;  // in Fashion-MNIST
  bool see_through;
};
// From the easiest to tell apart to the hardest (a shirt is one of several kinds of top).
constexpr std::array<GarmentClass, 10> kClasses = {{{"trouser", 1, false},
                                                    {"bag", 8, true},
                                                    {"ankle_boot", 9, false},
                                                    {"dress", 3, false},
                                                    {"tshirt", 0, false},
                                                    {"sandal", 5, true},
                                                    {"sneaker", 7, false},
                                                    {"pullover", 2, false},
                                                    {"coat", 4, false},
                                                    {"shirt", 6, false}}};

// Less fabric than this is no garment (a few source pictures are nearly empty).
constexpr int kLeastArea = 40;
constexpr int kPieces = 8;  // garments that the patches of one scene are cut from
constexpr const char* kParts[] = {"train", "val", "Annotation", "masks", "metadata"};

const GarmentClass& by_name(const std::string& name) {
  return *std::find_if(kClasses.begin(), kClasses.end(), [&](const GarmentClass& c) { return name == c.name; });
}

// The pictures of one half of Fashion-MNIST and, for each of our classes, which of them belong to it.
class Garments {
 public:
  Garments(const std::string& folder, const std::string& half, const std::vector<std::string>& classes) {
    const std::string images = find(folder, half + "-images-idx3-ubyte"),
                      labels = find(folder, half + "-labels-idx1-ubyte");
    images_ = read_idx(images, 3, 1'000'000ll * kPixels);
    const IdxArray read = read_idx(labels, 1, 1'000'000);
    PEN_CHECK_AS(data, images_.shape[1] == Cutout::kSource && images_.shape[2] == Cutout::kSource, "'", images,
                 "' has pictures of ", images_.shape[1], "x", images_.shape[2], ", not 28x28");
    PEN_CHECK_AS(data, read.shape[0] == images_.shape[0], "'", labels, "' has ", read.shape[0], " labels for ",
                 images_.shape[0], " pictures");
    labels_ = read.data;
    for (const std::uint8_t label : labels_)
      PEN_CHECK_AS(data, label < 10, "'", labels, "' has the label ", int{label}, "; 0 to 9 are expected");
    for (const std::string& name : classes) {
      members_.emplace_back();
      for (std::size_t i = 0; i < labels_.size(); ++i)
        if (labels_[i] == by_name(name).label && bright_pixels(i) >= kLeastArea) members_.back().push_back(i);
      PEN_CHECK_AS(data, !members_.back().empty(), "'", images, "' has no picture of class '", name, "'");
    }
  }

  std::size_t size() const { return labels_.size(); }
  const std::vector<std::size_t>& of_class(std::size_t c) const { return members_[c]; }
  void shuffle(std::size_t c, Rng& rng) { rng.shuffle(members_[c]); }
  Cutout cutout(std::size_t i) const {
    const bool open = std::any_of(kClasses.begin(), kClasses.end(),
                                  [&](const GarmentClass& c) { return c.label == labels_[i] && c.see_through; });
    return cut_out(std::span(images_.data).subspan(i * kPixels, kPixels), open);
  }

 private:
  static constexpr std::size_t kPixels = std::size_t{Cutout::kSource} * Cutout::kSource;
  // a quick bound of what cut_out would find
  std::ptrdiff_t bright_pixels(std::size_t i) const {
    const auto first = images_.data.begin() + static_cast<std::ptrdiff_t>(i * kPixels);
    return std::count_if(first, first + static_cast<std::ptrdiff_t>(kPixels), [](std::uint8_t v) { return v >= 8; });
  }
  static std::string find(const std::string& folder, const std::string& name) {
    const std::string plain = folder + "/" + name;
    return fs::exists(plain) ? plain : plain + ".gz";
  }
  IdxArray images_;
  std::vector<std::uint8_t> labels_;
  std::vector<std::vector<std::size_t>> members_;
};

void check_options(const SceneOptions& o) {
  const auto in = [](const char* name, auto value, auto low, auto high) {
    PEN_CHECK_AS(usage, value >= low && value <= high, "sample: ", name, " is ", value, ", but must be ", low, " to ",
                 high);
  };
  PEN_CHECK_AS(usage, !o.output_path.empty(), "sample: an output folder is needed");
  in("size", o.size, 32, 4096);
  in("classes", o.classes, 2, 10);
  in("train", o.train, o.classes, std::int64_t{10'000'000});
  in("val", o.val, o.classes, std::int64_t{10'000'000});
  in("seed", o.seed, 0, std::int64_t{0xffffffff});
  in("garment_min", o.garment_min, 0.1, 0.95);
  in("garment_max", o.garment_max, o.garment_min, 0.95);
  in("clutter_min", o.clutter_min, 0, 100);
  in("clutter_max", o.clutter_max, o.clutter_min, std::int64_t{100});
  in("quality", o.quality, 1, 100);
  PEN_CHECK_AS(usage, o.format == "jpeg" || o.format == "png", "sample: format is '", o.format,
               "', but must be jpeg or png");
}

// Makes room: nothing of an earlier call is left, and nothing of anybody else is touched.
void claim_folder(const SceneOptions& o) {
  const auto at = [&](const std::string& name) { return o.output_path + "/" + name; };
  const bool ours = fs::exists(at("scenes.json"));
  for (const char* part : kParts) {
    if (!fs::exists(at(part))) continue;
    if (!o.overwrite)
      fail(ErrorKind::usage, str("'", at(part), "' exists already"),
           "choose another output folder, or replace the scenes there with --overwrite");
    if (!ours)
      fail(ErrorKind::usage,
           str("'", at(part), "' was not written by `penumbra sample` (there is no scenes.json beside it)"),
           "choose another output folder");
  }
  make_folders(o.output_path);
  for (const char* part : kParts) {
    std::error_code error;
    fs::remove_all(at(part), error);
    PEN_CHECK(!error, "cannot remove '", at(part), "': ", error.message());
  }
}

void write_options(const SceneOptions& o, bool complete) {
  JsonWriter json(true);
  json.begin_object().field("complete", complete).field("size", o.size).field("train", o.train).field("val", o.val);
  json.field("classes", scene_classes(o.classes)).field("seed", o.seed);
  json.field("garment_min", o.garment_min).field("garment_max", o.garment_max);
  json.field("clutter_min", o.clutter_min).field("clutter_max", o.clutter_max);
  json.field("format", o.format).field("quality", o.quality).end_object();
  write_file(o.output_path + "/scenes.json", json.text() + "\n");
}

std::string numbered(const std::string& prefix, std::int64_t i) {
  char digits[24];
  std::snprintf(digits, sizeof(digits), "%06lld", static_cast<long long>(i));
  return prefix + digits;
}

void write_split(const SceneOptions& o, bool train, log::Progress& progress) {
  const std::vector<std::string> classes = scene_classes(o.classes);
  Garments garments(o.fashion_mnist_path, train ? "train" : "t10k", classes);
  const std::string split = train ? "train" : "val";
  // Streams of the random numbers: one for the order of the garments, then one for each scene.
  const std::uint64_t first_stream = train ? 0 : std::uint64_t{1} << 40;
  Rng order(static_cast<std::uint64_t>(o.seed), first_stream);
  const auto xml_folder = [&](const std::string& name) {
    return o.output_path + "/Annotation/" + split + (train ? "/" + name : "");
  };
  for (std::size_t c = 0; c < classes.size(); ++c) {
    garments.shuffle(c, order);
    make_folders(o.output_path + "/" + split + "/" + classes[c]);
    make_folders(o.output_path + "/masks/" + split + "/" + classes[c]);
    make_folders(xml_folder(classes[c]));
  }

  SceneStyle style;
  style.size = o.size;
  style.garment_min = o.garment_min;
  style.garment_max = o.garment_max;
  style.clutter_min = static_cast<int>(o.clutter_min);
  style.clutter_max = static_cast<int>(o.clutter_max);
  std::mutex progress_lock;
  parallel_for(train ? o.train : o.val, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Cutout> pieces(kPieces);
    for (std::int64_t i = begin; i < end; ++i) {
      Rng rng(static_cast<std::uint64_t>(o.seed), first_stream + 1 + static_cast<std::uint64_t>(i));
      const auto c = static_cast<std::size_t>(i % o.classes);
      const std::vector<std::size_t>& members = garments.of_class(c);
      auto turn = static_cast<std::size_t>(i / o.classes);
      Cutout garment = garments.cutout(members[turn % members.size()]);
      for (std::size_t tries = 0; garment.area < kLeastArea && tries < members.size(); ++tries)
        garment = garments.cutout(members[++turn % members.size()]);
      for (Cutout& piece : pieces) piece = garments.cutout(rng.below(garments.size()));
      const Scene scene = paint_scene(garment, pieces, style, rng);

      const std::string& name = classes[c];
      const std::string key = train ? numbered(name + "_", i / o.classes) : numbered("val_", i);
      const std::string file = key + (o.format == "png" ? ".png" : ".jpg");
      const std::string place = "/" + split + "/" + name + "/";
      if (o.format == "png")
        write_png(o.output_path + place + file, o.size, o.size, 3, scene.rgb);
      else
        write_jpeg(o.output_path + place + file, o.size, o.size, scene.rgb, o.quality);
      write_png(o.output_path + "/masks" + place + key + ".png", o.size, o.size, 1, scene.mask);
      const std::string xml = voc_xml(name, file, name, o.size, o.size, {scene.box});
      write_picture_file(xml_folder(name) + "/" + key + ".xml",
                         {reinterpret_cast<const std::uint8_t*>(xml.data()), xml.size()});
      const std::lock_guard lock(progress_lock);
      progress.advance(1);
    }
  });
}

}  // namespace

std::vector<std::string> scene_classes(std::int64_t count) {
  PEN_CHECK(count >= 1 && count <= static_cast<std::int64_t>(kClasses.size()), "scene_classes: ", count, " classes");
  std::vector<std::string> names;
  for (std::int64_t c = 0; c < count; ++c) names.emplace_back(kClasses[static_cast<std::size_t>(c)].name);
  std::sort(names.begin(), names.end());
  return names;
}

SceneReport make_scenes(const SceneOptions& o) {
  check_options(o);
  const auto start = std::chrono::steady_clock::now();
  claim_folder(o);
  write_options(o, false);
  {
    log::Progress progress("sample", o.train + o.val);
    write_split(o, true, progress);
    write_split(o, false, progress);
    progress.finish();
  }
  PrepareOptions p;
  p.train_path = o.output_path + "/train";
  p.val_path = o.output_path + "/val";
  p.val_annotation_path = o.output_path + "/Annotation/val";
  p.extended_annot_base_path = o.output_path + "/Annotation/train";
  p.output_base_path = o.output_path + "/metadata";
  p.num_per_class_in_train_val = o.num_per_class_in_train_val;
  p.seed = o.seed;
  p.image_size = o.size;
  SceneReport report{o.train, o.val, 0, prepare(p)};
  write_options(o, true);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace pen
