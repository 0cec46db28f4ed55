#include "eval/run_explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/encode.h"
#include "data/metadata.h"
#include "data/prepare.h"
#include "eval/infilling.h"
#include "eval/masks.h"
#include "eval/networks.h"
#include "eval/npy.h"
#include "eval/panel.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

constexpr std::size_t top = 5;
constexpr std::size_t sheet_rows = 12;
const std::string sheet_name = "panels";

// Names that are not taken yet; on systems that do not tell A from a, neither do we.
class Names {
 public:
  std::string unused(const std::string& image) {
    std::string stem = fs::path(image).stem().string();
    if (stem.empty()) stem = "image";
    for (int n = 1;; ++n) {
      const std::string name = n == 1 ? stem : str(stem, "_", n);
      std::string key = name;
      for (char& c : key)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      if (taken_.insert(key).second) return name;
    }
  }

 private:
  std::set<std::string> taken_{sheet_name};
};

std::vector<RankedClass> ranked(std::span<const float> logits, const std::vector<std::string>& names) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += std::exp(static_cast<double>(z) - static_cast<double>(most));
  std::vector<std::int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const std::size_t count = std::min(top, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](std::int64_t a, std::int64_t b) {
                      const float za = logits[static_cast<std::size_t>(a)], zb = logits[static_cast<std::size_t>(b)];
                      return za != zb ? za > zb : a < b;
                    });
  std::vector<RankedClass> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto c = static_cast<std::size_t>(order[i]);
    out.push_back({order[i], names.empty() ? std::to_string(order[i]) : names[c],
                   std::exp(static_cast<double>(logits[c]) - static_cast<double>(most)) / sum});
  }
  return out;
}

std::string listed(const std::vector<RankedClass>& classes) {
  std::string text;
  for (const RankedClass& c : classes)
    text += fmt::format("{}{} {:.3f}", text.empty() ? "" : ", ", c.name, c.probability);
  return text;
}

void write_classes(JsonWriter& json, const char* name, const std::vector<RankedClass>& classes) {
  json.key(name).begin_array();
  for (const RankedClass& c : classes)
    json.begin_object().field("class", c.id).field("name", c.name).field("probability", c.probability).end_object();
  json.end_array();
}

// Decoded images of one batch; those that could not be read are left out.
struct Decoded {
  std::vector<std::string> paths;
  std::vector<float> images;
  std::int64_t bad = 0;
};

Decoded decode(std::span<const std::string> paths, const Transform& transform) {
  const auto values = static_cast<std::size_t>(transform.size) * static_cast<std::size_t>(transform.size) * 3;
  std::vector<float> images(values * paths.size());
  std::vector<std::string> faults(paths.size());
  parallel_for(static_cast<std::int64_t>(paths.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    ImagePipeline pipeline;
    Rng unused;
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      try {
        pipeline.load(paths[i], transform, unused, images.data() + i * values);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::data) throw;
        std::error_code ignored;
        faults[i] =
            fs::is_directory(paths[i], ignored) ? str("the folder '", paths[i], "' holds no images") : error.what();
      }
    }
  });
  Decoded out;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!faults[i].empty()) {
      log::warn(faults[i]);
      ++out.bad;
      continue;
    }
    out.paths.push_back(paths[i]);
    out.images.insert(out.images.end(), images.begin() + static_cast<std::ptrdiff_t>(i * values),
                      images.begin() + static_cast<std::ptrdiff_t>((i + 1) * values));
  }
  return out;
}

std::vector<std::string> names_of_classes(const ExplainOptions& options, const OpenedClassifier& classifier) {
  if (options.class_names.empty()) return classifier.class_names;
  const Metadata list = Metadata::read(options.class_names);
  PEN_CHECK_AS(data, list.class_count() == classifier.network->classes(), "'", options.class_names, "' names ",
               list.class_count(), " classes, the classifier of '", classifier.file, "' has ",
               classifier.network->classes());
  return list.classes();
}

// Explains batches and writes their files.
class Explainer {
 public:
  Explainer(const ExplainOptions& options, Device device)
      : options_(options),
        masker_(options.casm_path, parse_classifier_load_mode(options.classifier_load_mode), {}, options.use_p, device,
                options.arch, options.fuse),
        names_(names_of_classes(options, masker_.classifier())),
        infiller_(
            open_infiller(options, options.protocol == "strict", static_cast<std::uint64_t>(options.seed), device)),
        boxes_{parse_protocol(options.protocol)},
        size_(masker_.input_size()) {
    PEN_CHECK_AS(usage, options.class_id < 0 || masker_.uses_class_ids(), "the masker of '", options.casm_path,
                 "' is told no class, so that --class_id has no effect");
    PEN_CHECK_AS(usage, options.class_id < masker_.masker_classes(), "--class_id: ", options.class_id,
                 " is not among the ", masker_.masker_classes(), " classes of the masker");
    make_folders(options.output_path);
  }

  Transform transform() const {
    Transform t = Transform::score(static_cast<int>(size_), options_.break_ratio);
    if (options_.resize > 0) t.resize = static_cast<int>(options_.resize);
    return t;
  }

  void explain(const Decoded& batch, const std::function<void(const Explanation&)>& done) {
    const auto n = static_cast<std::int64_t>(batch.paths.size());
    std::vector<std::int64_t> told;
    if (options_.class_id >= 0) told.assign(batch.paths.size(), options_.class_id);
    const Maps maps = masker_(batch.images, n, size_, told);
    pen::Classifier& network = *masker_.classifier().runner;
    const std::vector<float> in = masked_logits(network, batch.images, maps.maps, true, n, size_);
    const std::vector<float> out = masked_logits(network, batch.images, maps.maps, false, n, size_);
    const std::vector<Infilled> filled = infill(batch, maps.maps);
    const auto pixels = static_cast<std::size_t>(size_ * size_), classes = maps.logits.size() / batch.paths.size();
    for (std::size_t i = 0; i < batch.paths.size(); ++i) {
      const auto row = [&](const std::vector<float>& logits) {
        return ranked(std::span(logits).subspan(i * classes, classes), names_);
      };
      const std::string name = unused_.unused(batch.paths[i]);
      const std::span<const float> mask = std::span(maps.maps).subspan(i * pixels, pixels);
      Explanation e;
      e.image = batch.paths[i];
      e.panel = file(name + ".png");
      e.map = file(name + ".npy");
      e.json = file(name + ".json");
      e.before = row(maps.logits);
      e.masked_in = row(in);
      e.masked_out = row(out);
      std::vector<PanelInput::View> views;
      for (const Infilled& side : filled) {
        (side.in ? e.infilled_in : e.infilled_out) = row(side.logits);
        views.push_back(
            {side.in ? "infilled in" : "infilled out", std::span(side.images).subspan(i * pixels * 3, pixels * 3)});
      }
      std::vector<std::uint8_t> binary = binarise(mask);
      e.box = predicted_box(binary, size_, boxes_);
      e.area = static_cast<double>(mask_mean(mask));
      write(e, std::span(batch.images).subspan(i * pixels * 3, pixels * 3), mask, views);
      done(e);
    }
  }

  // The first images together, once they are all there.
  void write_sheet() const {
    std::vector<PanelInput> rows;
    for (const Row& row : sheet_) {
      rows.push_back({row.image, row.mask, static_cast<int>(size_), row.box, {}, row.caption});
      for (const auto& [column, image] : row.more) rows.back().more.push_back({column, image});
    }
    if (!rows.empty()) write_picture(file(sheet_name + ".png"), panel(rows));
  }

 private:
  struct Row {
    std::vector<float> image, mask;
    Box box;
    std::vector<std::string> caption;
    std::vector<std::pair<std::string, std::vector<float>>> more;
  };
  // One side of a batch after infilling, and what the classifier says about it.
  struct Infilled {
    bool in;
    std::vector<float> images, logits;
  };

  std::vector<Infilled> infill(const Decoded& batch, std::span<const float> masks) {
    std::vector<Infilled> out;
    if (!infiller_) return out;
    const auto n = static_cast<std::int64_t>(batch.paths.size());
    for (const bool in : {true, false}) {
      if (!(in ? options_.infills_in() : options_.infills_out())) continue;
      Infilled side{in, infilled_images(*infiller_, batch.images, masks, in, n, size_), {}};
      side.logits = logits_of(*masker_.classifier().runner, side.images, n, size_);
      out.push_back(std::move(side));
    }
    return out;
  }

  std::string file(const std::string& name) const { return (fs::path(options_.output_path) / name).string(); }

  static void write_picture(const std::string& path, const Image& picture) {
    write_png(path, picture.height, picture.width, 3, picture.rgb);
  }

  void write(const Explanation& e, std::span<const float> image, std::span<const float> mask,
             const std::vector<PanelInput::View>& more) {
    std::vector<std::string> caption{e.image, "before: " + listed(e.before), "masked in: " + listed(e.masked_in),
                                     "masked out: " + listed(e.masked_out)};
    if (!e.infilled_in.empty()) caption.push_back("infilled in: " + listed(e.infilled_in));
    if (!e.infilled_out.empty()) caption.push_back("infilled out: " + listed(e.infilled_out));
    const PanelInput input{image, mask, static_cast<int>(size_), e.box, {}, caption, more};
    write_picture(e.panel, panel({&input, 1}));
    const std::int64_t shape[] = {size_, size_};
    write_npy(e.map, shape, mask);
    write_file(e.json, explanation_json(e, true) + "\n");
    if (sheet_.size() < sheet_rows) {
      sheet_.push_back({{image.begin(), image.end()}, {mask.begin(), mask.end()}, e.box, caption, {}});
      for (const PanelInput::View& view : more)
        sheet_.back().more.emplace_back(view.column, std::vector<float>(view.image.begin(), view.image.end()));
    }
  }

  const ExplainOptions& options_;
  MaskMaker masker_;
  std::vector<std::string> names_;
  std::shared_ptr<Infiller> infiller_;
  BoxOptions boxes_;
  std::int64_t size_;
  Names unused_;
  std::vector<Row> sheet_;
};

}  // namespace

std::vector<std::string> listed_images(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& word) {
    std::error_code error;
    std::vector<std::string> found;
    if (fs::is_directory(word, error)) found = images_below(word);
    if (found.empty()) found = {word};
    out.insert(out.end(), found.begin(), found.end());
  };
  for (const std::string& word : words) {
    if (word != "-") {
      add(word);
      continue;
    }
    for (std::string line; std::getline(std::cin, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) add(line);
    }
  }
  return out;
}

ExplainRun run_explain(const ExplainOptions& options, Device device,
                       const std::function<void(const Explanation&)>& done) {
  std::vector<std::string> paths = listed_images(options.images);
  PEN_CHECK_AS(data, !paths.empty(), "there is no image to explain: the list on standard input is empty");
  if (options.limit > 0 && static_cast<std::int64_t>(paths.size()) > options.limit)
    paths.resize(static_cast<std::size_t>(options.limit));
  Explainer explainer(options, device);
  ExplainRun run;
  {
    log::Progress progress("explain", static_cast<std::int64_t>(paths.size()));
    for (std::size_t first = 0; first < paths.size() && !run.interrupted;) {
      const std::size_t count = std::min(static_cast<std::size_t>(options.batch_size), paths.size() - first);
      const Decoded batch = decode(std::span(paths).subspan(first, count), explainer.transform());
      run.bad += batch.bad;
      run.explained += static_cast<std::int64_t>(batch.paths.size());
      if (!batch.paths.empty()) explainer.explain(batch, done);
      progress.advance(static_cast<std::int64_t>(count));
      first += count;
      run.interrupted = interrupt::requested();
    }
  }
  explainer.write_sheet();
  return run;
}

std::string explanation_text(const Explanation& e) {
  std::string text = fmt::format("{}\n  before      {}\n  masked in   {}\n  masked out  {}\n", e.image,
                                 listed(e.before), listed(e.masked_in), listed(e.masked_out));
  if (!e.infilled_in.empty()) text += fmt::format("  infilled in {}\n", listed(e.infilled_in));
  if (!e.infilled_out.empty()) text += fmt::format("  infilled out {}\n", listed(e.infilled_out));
  return text;
}

std::string explanation_json(const Explanation& e, bool pretty) {
  JsonWriter json(pretty);
  json.begin_object().field("image", e.image).field("panel", e.panel).field("map", e.map);
  write_classes(json, "before", e.before);
  write_classes(json, "masked_in", e.masked_in);
  write_classes(json, "masked_out", e.masked_out);
  if (!e.infilled_in.empty()) write_classes(json, "infilled_in", e.infilled_in);
  if (!e.infilled_out.empty()) write_classes(json, "infilled_out", e.infilled_out);
  json.field("area", e.area).field("box", std::vector<std::int64_t>{e.box.xmin, e.box.ymin, e.box.xmax, e.box.ymax});
  json.end_object();
  return json.text();
}

}  // namespace pen::eval
