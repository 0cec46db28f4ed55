#include "eval/attribution/run_attribute.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "data/encode.h"
#include "data/loader.h"
#include "eval/attribution/map_maker.h"
#include "eval/attribution/probe.h"
#include "eval/image_list.h"
#include "eval/npy.h"
#include "eval/options.h"
#include "eval/panel.h"
#include "eval/table.h"
#include "tensor/memory.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

MapMakerOptions making(const AttributeOptions& o, const std::string& method) {
  MapMakerOptions m;
  m.method = method;
  m.casm_path = o.casm_path;
  m.classifier_load_mode = o.classifier_load_mode;
  m.resnet_path = o.resnet_path;
  m.arch = o.arch;
  m.fuse = o.fuse;
  m.use_p = o.use_p;
  m.attribution = attribution_options(o, o.seed);
  m.target = target_of(o, !o.val_json.empty());
  m.input_size = o.input_size;
  return m;
}

std::int64_t argmax(std::span<const float> row) { return std::max_element(row.begin(), row.end()) - row.begin(); }

// Everything that is needed before the first image.
struct Job {
  const AttributeOptions& options;
  ImageList images;
  std::vector<std::unique_ptr<MapMaker>> makers;
  std::int64_t size = 0;
  std::vector<std::string> class_names;

  Job(const AttributeOptions& o, Device device) : options(o) {
    std::error_code error;
    PEN_CHECK_AS(usage, o.overwrite || !fs::exists(o.output_path, error) || fs::is_empty(o.output_path, error), "'",
                 o.output_path, "' has files in it: name another folder, or give --overwrite");
    std::optional<Metadata> metadata;
    if (!o.val_json.empty()) metadata = Metadata::read(o.val_json);
    images = metadata ? ImageList::of_metadata(*metadata, o.root) : ImageList::of_words(o.images, o.root);
    PEN_CHECK_AS(data, images.size() > 0, "there is no image to explain: the list on standard input is empty");
    images.keep_first(o.limit);
    std::optional<OpenedClassifier> explained;
    for (const std::string& method : parse_methods(o.method)) {
      makers.push_back(std::make_unique<MapMaker>(making(o, method), device, explained ? &*explained : nullptr));
      const MapMaker& maker = *makers.back();
      if (!maker.masker() && !explained) explained = maker.classifier();
      if (size == 0) size = maker.size();
      PEN_CHECK_AS(usage, maker.size() == size, method, " takes images of side ", maker.size(), ", ",
                   makers.front()->method(), " of ", size, ": --input_size chooses one");
      if (metadata)
        PEN_CHECK_AS(data, metadata->class_count() == maker.classifier().network->classes(), "'", o.val_json, "' has ",
                     metadata->class_count(), " classes, the classifier of '", maker.classifier().file, "' has ",
                     maker.classifier().network->classes());
    }
    class_names = makers.front()->classifier().class_names;
    make_folders(o.output_path);
  }

  std::string name_of_class(std::int64_t id) const {
    return class_names.empty() ? str("class ", id) : class_names[static_cast<std::size_t>(id)];
  }
  // Without its ending .npy or .png.
  std::string file(const MapMaker& maker, const std::string& id) const {
    fs::path folder(options.output_path);
    if (makers.size() > 1) folder /= maker.method();
    return (folder / id).string();
  }
};

// What one map shows: "why cat, predicted dog".
std::string words_of(const Job& job, const AttributedImage& one) {
  return (one.target >= 0 ? "why " + job.name_of_class(one.target) + ", " : std::string{}) + "predicted " +
         job.name_of_class(one.predicted);
}

// An image, its map in colours and both together, all `cell` pixels wide.
struct Drawn {
  Image pixels, colors, overlay;
  std::string words;  // how the map became colours
};
Drawn draw(const Job& job, std::span<const float> image, std::span<const float> map, MapScale scale, int cell) {
  const auto side = static_cast<int>(job.size);
  ScaledMap scaled = scale_map(map, scale);
  Drawn out;
  out.pixels = enlarged(to_pixels(image, side, Normalize{}), cell, cell);
  out.colors = enlarged(colored(scaled.values, side, side, parse_color_map(job.options.color_map)), cell, cell);
  out.overlay = blended(out.pixels, out.colors, PanelOptions{}.alpha);
  out.words = std::move(scaled.words);
  return out;
}

// The picture beside a map.
Image picture(const Job& job, const AttributedImage& one, std::span<const float> image, std::span<const float> map) {
  Drawn drawn =
      draw(job, image, map, parse_map_scale(job.options.normalize), std::max(224, static_cast<int>(job.size)));
  if (job.options.pictures == "map") return drawn.colors;
  if (job.options.pictures == "overlay") return drawn.overlay;
  Sheet sheet;
  sheet.columns = {"image", one.method, "overlay"};
  sheet.rows.push_back(
      {{}, {drawn.pixels, drawn.colors, drawn.overlay}, {one.id + ": " + words_of(job, one), drawn.words}});
  return compose(sheet);
}

// The map of one image and the picture beside it, under a name without ending.
void write(const Job& job, AttributedImage& one, const std::string& file, std::span<const float> image,
           std::span<const float> map) {
  make_folders(fs::path(file).parent_path().string());
  one.map = file + ".npy";
  const std::int64_t shape[] = {job.size, job.size};
  write_npy(one.map, shape, map);
  if (job.options.pictures == "none" || job.options.pictures == "grid") return;
  one.picture = file + ".png";
  const Image drawn = picture(job, one, image, map);
  write_png(one.picture, drawn.height, drawn.width, 3, drawn.rgb);
}

Batch images_of(const Batch& batch, std::size_t first, std::size_t count) {
  const auto values = static_cast<std::size_t>(batch.size * batch.size * 3);
  return {static_cast<std::int64_t>(count), batch.size, batch.images.subspan(first * values, count * values),
          batch.labels.subspan(first, count), batch.paths.subspan(first, count)};
}

// Methods x images, twelve images a page.
class Grid {
 public:
  explicit Grid(const Job& job) : job_(job), pixels_(static_cast<std::size_t>(job.size * job.size)) {}

  // One batch, once all methods have seen it: maps of each method (n, S, S), and what the first one that knows a class
  // says about each image.
  void add(const Batch& batch, const std::vector<std::vector<float>>& maps, const std::vector<AttributedImage>& about) {
    for (std::size_t i = 0; i < about.size(); ++i) {
      SheetRow row;
      for (std::size_t m = 0; m < maps.size(); ++m) {
        const bool mask = job_.makers[m]->masker() != nullptr;  // lies in [0, 1], and means what it is
        Drawn drawn = draw(
            job_, batch.images.subspan(i * pixels_ * 3, pixels_ * 3), std::span(maps[m]).subspan(i * pixels_, pixels_),
            mask ? MapScale::unit : parse_map_scale(job_.options.normalize), std::max(96, static_cast<int>(job_.size)));
        if (m == 0) row.cells.push_back(std::move(drawn.pixels));
        row.cells.push_back(std::move(drawn.overlay));
      }
      row.caption.push_back(about[i].id + ": " + words_of(job_, about[i]));
      sheet_.rows.push_back(std::move(row));
      if (sheet_.rows.size() == rows_of_a_page) write();
    }
  }

  void write() {
    if (sheet_.rows.empty()) return;
    sheet_.columns = {"image"};
    bool masks = false;
    for (const auto& maker : job_.makers) {
      sheet_.columns.push_back(maker->method());
      masks = masks || maker->masker();
    }
    sheet_.footer = {job_.options.normalize == "minmax" ? "maps from their smallest to their largest value"
                                                        : "maps as they are, cut to 0 .. 1"};
    if (masks) sheet_.footer[0] += "; masks (casme) as they are";
    ++page_;
    const Image page = compose(sheet_);
    const std::string name = page_ == 1 ? "grid.png" : str("grid_", page_, ".png");
    write_png((fs::path(job_.options.output_path) / name).string(), page.height, page.width, 3, page.rgb);
    sheet_.rows.clear();
  }

 private:
  static constexpr std::size_t rows_of_a_page = 12;
  const Job& job_;
  std::size_t pixels_;
  Sheet sheet_;
  int page_ = 0;
};

void write_summary(const Job& job, const AttributeRun& run, const std::string& device) {
  const AttributeOptions& o = job.options;
  JsonWriter json(true);
  json.begin_object().field("version", version()).field("device", device).field("size", job.size);
  json.field("maps", run.maps)
      .field("images", run.images)
      .field("unreadable", run.bad)
      .field("interrupted", run.interrupted);
  json.field("seconds", run.seconds).field("seed", o.seed).field("break_ratio", o.break_ratio);
  json.field("target", o.target.empty() ? (o.val_json.empty() ? "top1" : "label") : o.target);
  json.key("methods").begin_array();
  for (const auto& maker : job.makers) {
    const DeadMaps dead = maker->dead();
    json.begin_object().field("method", maker->method()).field("classifier", maker->classifier().file);
    if (maker->masker()) json.field("casm_path", o.casm_path);
    if (!maker->layer().empty()) json.field("layer", maker->layer());
    json.field("zero_maps", dead.zero).field("not_finite_maps", dead.not_finite).end_object();
  }
  json.end_array().end_object();
  write_file((fs::path(o.output_path) / "attribution.json").string(), json.text() + "\n");
}

}  // namespace

AttributeRun run_attribute(const AttributeOptions& options, Device device, const std::string& device_in_words,
                           const std::function<void(const AttributedImage&)>& done) {
  Job job(options, device);
  const Transform transform = Transform::score(static_cast<int>(job.size), options.break_ratio);
  log::info(str("attribute ", options.method, ": ", job.images.size(), " images at ", job.size, "x", job.size, ", on ",
                device_in_words));
  LoaderOptions loading;
  loading.batch_size = static_cast<int>(std::min(options.batch_size, images_at_once));
  loading.workers = static_cast<int>(options.workers);
  // A list of images has to be whole; of what was found in folders, what can be read.
  loading.bad_files = options.val_json.empty() ? BadFiles::skip : BadFiles::fail;
  loading.max_bad_share = 1;
  Loader loader(job.images, transform, loading);
  AttributeRun run;
  const auto start = std::chrono::steady_clock::now();
  {
    const auto methods = static_cast<std::int64_t>(job.makers.size());
    log::Progress progress("attribute", job.images.size() * methods, "map");
    for (const auto& maker : job.makers) maker->on_progress([&](std::int64_t maps) { progress.advance(maps); });
    const auto pixels = static_cast<std::size_t>(job.size * job.size);
    const bool grid_wanted = options.pictures == "grid";
    Grid grid(job);
    loader.start_epoch(0);
    while (const BatchPtr loaded = loader.next()) {
      const auto n = static_cast<std::size_t>(loaded->size);
      const Batch batch{loaded->size, job.size, std::span(loaded->images).first(n * pixels * 3), loaded->labels,
                        loaded->paths};
      // The last batch has shapes of its own: what is kept for those of the others makes room.
      if (loaded->size < loading.batch_size) release_cached_memory(device);
      std::vector<std::vector<float>> all;  // for the grid
      std::vector<AttributedImage> about(n);
      for (const auto& maker : job.makers) {
        std::vector<float> whole;
        // Ctrl-C need not wait for a batch of images that take thousands of passes each.
        const std::size_t step = maker->slow() ? 1 : n;
        for (std::size_t first = 0; first < n && !interrupt::requested(); first += step) {
          const Batch part = images_of(batch, first, step);
          const Maps maps = (*maker)(part);
          const std::size_t classes = maps.logits.size() / step;
          for (std::size_t i = 0; i < step; ++i) {
            AttributedImage one;
            one.method = maker->method();
            one.image = part.paths[i];
            one.id = job.images.id(loaded->indices[first + i]);
            one.predicted = argmax(std::span(maps.logits).subspan(i * classes, classes));
            one.target = maker->target_of_image(part.labels[i], one.predicted);
            write(job, one, job.file(*maker, one.id), part.images.subspan(i * pixels * 3, pixels * 3),
                  std::span(maps.maps).subspan(i * pixels, pixels));
            done(one);
            ++run.maps;
            AttributedImage& shown = about[first + i];
            if (shown.id.empty() || (shown.target < 0 && one.target >= 0)) shown = one;
          }
          if (grid_wanted) whole.insert(whole.end(), maps.maps.begin(), maps.maps.end());
        }
        if (grid_wanted) all.push_back(std::move(whole));
      }
      run.interrupted = interrupt::requested();
      if (run.interrupted) break;
      if (grid_wanted) grid.add(batch, all, about);
      run.images += loaded->size;
    }
    grid.write();
    for (const BadFile& bad : loader.bad_files()) log::warn(bad.reason);
    run.bad = static_cast<std::int64_t>(loader.bad_files().size());
  }
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& maker : job.makers) {
    if (!maker->warning().empty()) log::warn(maker->warning());
    run.warned += maker->dead().zero + maker->dead().not_finite;
  }
  write_summary(job, run, device_in_words);
  return run;
}

std::string layer_table(const AttributeOptions& o, Device device) {
  const OpenedClassifier opened = open_explained(making(o, "a method"), device);
  const std::int64_t size = o.input_size ? o.input_size : opened.input_size;
  Table table({"layer", "height", "width", "channels"});
  for (const Layer& layer : layers_of(*opened.network, size))
    table.add({layer.name, str(layer.shape[0]), str(layer.shape[1]), str(layer.shape[2])});
  return table.markdown();
}

std::string method_list() {
  std::string text;
  for (const Method& m : attribution_methods()) {
    text += str(text.empty() ? "" : "\n", m.name, "\n  map      ", m.formula, "\n  paper    ", m.paper, "\n  passes   ",
                m.cost, "\n");
    if (!m.options.empty()) text += str("  options  ", m.options, "\n");
  }
  return text;
}

}  // namespace pen::eval
