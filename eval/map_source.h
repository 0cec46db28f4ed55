// Maps by name: of a masker, of a control that looks at nothing, of any attribution method, or somebody's files. What
// metrics eat.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/attribution/attributor.h"
#include "eval/batch.h"
#include "eval/box.h"
#include "eval/networks.h"

namespace pen::eval {

struct MapSourceOptions {
  std::string method;       // casme, zeros, ones, center, gaussian, or any attribution method
  std::string maps;         // instead: a folder of .npy files
  bool scale_maps = false;  // bring these into unit_range(), as attribution maps are
  // casme: the masker's checkpoint and whose classifier it reads. Attribution methods explain the classifier of
  // resnet_path, or without one that of casm_path.
  std::string casm_path, classifier_load_mode = "pickled", resnet_path;
  std::optional<double> use_p;
  bool fuse = true;  // run a frozen copy of the classifier where that is enough
  AttributionOptions attribution;
  // Which class attribution methods explain, when the classifier has so many; null: the label.
  std::function<TargetRule(std::int64_t classes)> target;
  Protocol protocol = Protocol::paper;
  std::int64_t size = 0;  // side S of images and maps; 0: as the network was trained, or 224
};

// Maps of one batch, in the range [0, 1] that metrics ask for (files: whatever they hold; metrics check).
using MapsOfBatch = std::function<std::vector<double>(const Batch& batch, std::span<const std::string> ids)>;

struct MapSource {
  std::string name;                            // of the method, or the folder's path
  std::int64_t size = 224;                     // side S
  bool reads_images = false;                   // otherwise a batch may come without images
  MapsOfBatch maps;                            // (n, S, S) of n images that are filed under ids
  std::optional<OpenedClassifier> classifier;  // the one that is explained; none for controls and files
  std::string explained;                       // which class, in words; empty where none is
  // What a run says at its end: how many maps said nothing. Empty if all did, or if nobody counts.
  std::function<std::string()> warning = [] { return std::string{}; };
};

// The controls: 0 everywhere, 1 everywhere, 1 in the centre (round(33 S / 224) from each side, as mode center of
// score), and an isotropic Gaussian around (S/2, S/2), each pixel replaced by its rank (equal ones by their mean rank)
// and scaled to 0..1. Empty for another name. (S, S).
std::vector<double> control_map(const std::string& name, std::int64_t size);
const std::vector<std::string>& control_names();

// A usage error that suggests the nearest, if no method has that name.
void check_map_method(const std::string& name);

// Opens what the options name; an unknown method as above.
MapSource open_map_source(const MapSourceOptions& options, Device device);

// (n, S, S) of the maps of ids in a folder: <id>.npy (wsolevaluation's layout), or the id without its ending, or only
// the last part of that. float32, float64 or uint8 arrays of shape (S, S) or with leading ones. A map that is missing
// or of another size: a data error that names it.
std::vector<double> read_maps(const std::string& folder, std::span<const std::string> ids, std::int64_t size);

// Each map on its own to (m - min) / (max - min), as the reference scales attribution maps. One without variation
// becomes 1 everywhere in the paper protocol, as there, and 0 in strict. Values that are not finite count as 0.
std::vector<double> unit_range(std::span<const float> maps, std::int64_t n, Protocol protocol);

}  // namespace pen::eval
