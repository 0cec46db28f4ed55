#include "eval/map_source.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/nearest.h"
#include "eval/attribution/controls.h"
#include "eval/npy.h"
#include "eval/options.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

fs::path map_file(const std::string& folder, const std::string& id) {
  const fs::path base(folder), path(id);
  const std::vector<fs::path> candidates{base / (id + ".npy"), base / (path.parent_path() / path.stem()).concat(".npy"),
                                         base / path.filename().concat(".npy"), base / path.stem().concat(".npy")};
  for (const fs::path& file : candidates) {
    std::error_code error;
    if (fs::exists(file, error)) return file;
  }
  fail(ErrorKind::data, str("the map of '", id, "' is missing: '", candidates[0].string(), "' is not there"));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t n : shape) text += (text.empty() ? "" : "x") + str(n);
  return text.empty() ? "a single number" : text;
}

}  // namespace

const std::vector<std::string>& control_names() {
  static const std::vector<std::string> names{"zeros", "ones", "center", "gaussian"};
  return names;
}

std::vector<double> control_map(const std::string& name, std::int64_t size) {
  const auto pixels = static_cast<std::size_t>(size * size);
  if (name == "zeros") return std::vector<double>(pixels, 0.0);
  if (name == "ones") return std::vector<double>(pixels, 1.0);
  if (name == "gaussian") return gaussian_map(size);
  return name == "center" ? center_map(size) : std::vector<double>{};
}

std::vector<double> unit_range(std::span<const float> maps, std::int64_t n, Protocol protocol) {
  PEN_CHECK(n >= 1 && maps.size() % static_cast<std::size_t>(n) == 0, "unit range: ", maps.size(), " values of ", n,
            " maps");
  const std::size_t pixels = maps.size() / static_cast<std::size_t>(n);
  std::vector<double> out(maps.size());
  for (std::size_t first = 0; first < maps.size(); first += pixels) {
    const auto value = [&](std::size_t i) { return std::isfinite(maps[i]) ? maps[i] : 0.0f; };
    float low = value(first), high = low;
    for (std::size_t i = first; i < first + pixels; ++i) {
      low = std::min(low, value(i));
      high = std::max(high, value(i));
    }
    // In float32, as the reference; the quotient of equal numbers is exactly 1.
    for (std::size_t i = first; i < first + pixels; ++i)
      out[i] = high > low ? (value(i) - low) / (high - low) : protocol == Protocol::paper ? 1 : 0;
  }
  return out;
}

std::vector<double> read_maps(const std::string& folder, std::span<const std::string> ids, std::int64_t size) {
  const auto pixels = static_cast<std::size_t>(size * size);
  std::vector<double> out;
  out.reserve(ids.size() * pixels);
  for (const std::string& id : ids) {
    const std::string file = map_file(folder, id).string();
    const NpyArray array = read_npy(file);
    std::vector<std::int64_t> shape = array.shape;
    while (shape.size() > 2 && shape[0] == 1) shape.erase(shape.begin());
    if (shape != std::vector<std::int64_t>({size, size}))
      fail(ErrorKind::data,
           str("'", file, "' is ", shape_text(array.shape), ", the map of '", id, "' must be ", size, "x", size),
           "--input_size says which side maps have");
    const std::vector<double> values = array.doubles();
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

void check_map_method(const std::string& name) {
  std::vector<std::string> known = control_names();
  known.push_back("casme");
  if (std::find(known.begin(), known.end(), name) != known.end() || find_attribution(name)) return;
  const std::vector<std::string> methods = attribution_names();
  known.insert(known.end(), methods.begin(), methods.end());
  fail(ErrorKind::usage, str("there is no method '", name, "' that makes maps"), did_you_mean(name, known));
}

MapSource open_map_source(const MapSourceOptions& options, Device device) {
  MapSource out;
  const std::string& method = options.method;
  if (options.maps.empty()) check_map_method(method);
  out.size = options.size > 0 ? options.size : 224;
  if (!options.maps.empty()) {
    std::error_code error;
    PEN_CHECK_AS(data, fs::is_directory(options.maps, error), "'", options.maps, "' is no folder of maps");
    out.name = options.maps;
    out.maps = [options, size = out.size](const Batch&, std::span<const std::string> ids) {
      const std::vector<double> maps = read_maps(options.maps, ids, size);
      if (!options.scale_maps) return maps;
      const std::size_t pixels = maps.size() / ids.size();
      for (std::size_t i = 0; i < maps.size(); ++i)
        PEN_CHECK_AS(data, std::isfinite(maps[i]), "the map of '", ids[i / pixels], "' is not finite at element ",
                     i % pixels);
      return unit_range(std::vector<float>(maps.begin(), maps.end()), static_cast<std::int64_t>(ids.size()),
                        options.protocol);
    };
    return out;
  }
  out.name = method;
  const auto& controls = control_names();
  if (std::find(controls.begin(), controls.end(), method) != controls.end()) {
    out.maps = [map = control_map(method, out.size)](const Batch&, std::span<const std::string> ids) {
      std::vector<double> maps;
      maps.reserve(map.size() * ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) maps.insert(maps.end(), map.begin(), map.end());
      return maps;
    };
    return out;
  }
  if (method == "casme") {
    PEN_CHECK_AS(usage, !options.casm_path.empty(), "the masks of a masker need its checkpoint");
    const auto masker =
        std::make_shared<MaskMaker>(options.casm_path, parse_classifier_load_mode(options.classifier_load_mode),
                                    options.resnet_path, options.use_p, device, std::string{}, options.fuse);
    if (options.size == 0) out.size = masker->input_size();
    out.reads_images = true;
    out.classifier = masker->classifier();
    out.maps = [masker](const Batch& batch, std::span<const std::string>) {
      const Maps made = (*masker)(batch.images, batch.n, batch.size, {});
      return std::vector<double>(made.maps.begin(), made.maps.end());
    };
    return out;
  }
  const Method* attribution = find_attribution(method);
  PEN_CHECK_AS(usage, !options.resnet_path.empty() || !options.casm_path.empty(), "method '", method,
               "' needs the classifier that it explains");
  out.classifier = open_classifier(options.resnet_path.empty() ? options.casm_path : options.resnet_path, device,
                                   std::string{}, options.fuse);
  if (options.size == 0) out.size = out.classifier->input_size;
  out.reads_images = true;
  const TargetRule target = options.target ? options.target(out.classifier->network->classes()) : TargetRule{};
  out.explained = target.kind == TargetRule::Kind::label  ? "the image's label"
                  : target.kind == TargetRule::Kind::top1 ? "the predicted class"
                                                          : str("class ", target.id);
  const auto attributor = std::make_shared<Attributor>(*attribution, options.attribution, target,
                                                       out.classifier->network, out.size, out.classifier->runner);
  out.maps = [attributor, protocol = options.protocol](const Batch& batch, std::span<const std::string>) {
    return unit_range((*attributor)(batch).maps, batch.n, protocol);
  };
  out.warning = [attributor] { return attributor->warning(); };
  return out;
}

}  // namespace pen::eval
