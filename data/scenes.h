// `sample`: a data set of Fashion-MNIST scenes, laid out as ImageNet is, with exact boxes and masks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/prepare.h"
#include "data/scene.h"

namespace pen {

struct SceneOptions {
  std::string output_path;
  std::string fashion_mnist_path = "/usr/share/datasets/fashion-mnist";  // IDX files, gzipped or not
  std::int64_t size = 112;                                               // side of a scene in pixels, 32 to 4096
  std::int64_t train = 5000, val = 500;                                  // scenes; classes take turns
  std::int64_t classes = 10;  // 2 to 10; the easiest to tell apart come first
  std::int64_t seed = 1234;
  double garment_min = 0.40, garment_max = 0.75;   // longer side of the garment's box, as a share of the side
  std::int64_t clutter_min = 6, clutter_max = 11;  // patches and shapes behind the garment
  std::string format = "jpeg";                     // or "png"
  int quality = 92;                                // of JPEG
  std::int64_t num_per_class_in_train_val = 50;
  bool overwrite = false;  // replace scenes that this function wrote there earlier
};

struct SceneReport {
  std::int64_t train = 0, val = 0;
  double seconds = 0;
  PrepareResult metadata;
};

// Writes below output_path:
//   train/<class>/<class>_<number>.jpg, val/<class>/val_<number>.jpg       scenes
//   Annotation/train/<class>/<key>.xml, Annotation/val/<key>.xml           VOC XML; xmax and ymax exclusive
//   masks/train/<class>/<key>.png, masks/val/<class>/<key>.png             gray PNG, 255 on the garment
//   metadata/*.json                                                        by prepare(), boxes in the scene's own frame
//   scenes.json                                                            the options; "complete" is true at the end
// Training scenes use the 60,000 training garments, validation scenes the 10,000 others. A scene is a function of seed,
// split and number alone, whatever the number of threads.
// Errors of kind `usage`: an option out of range, an output folder that holds such files already without `overwrite`,
// or with it but not written by this function. Of kind `data`: Fashion-MNIST files missing or damaged.
SceneReport make_scenes(const SceneOptions& options);

// Folder names of the first `count` classes, sorted.
std::vector<std::string> scene_classes(std::int64_t count);

}  // namespace pen
