// A data set of a few small pictures, and networks with random weights, for tests of whole commands.
#pragma once

#include <string>
#include <vector>

#include "data/boxes.h"
#include "data/encode.h"
#include "data/metadata.h"
#include "models/checkpoint.h"
#include "tests/scratch.h"

namespace pen::test {

// What a tiny checkpoint holds.
struct TinyNetworks {
  std::vector<std::string> classes{"left", "right"};
  bool masker = true, prob = false, class_ids = false;
  std::string arch = "resnet18";
  std::uint64_t seed = 5;
};

// Writes a checkpoint of a narrow residual network (and a masker) at 32x32 with random weights.
inline void write_tiny(const std::string& path, const TinyNetworks& what = {}) {
  Rng rng(what.seed);
  const double width = 0.125;
  const auto count = static_cast<std::int64_t>(what.classes.size());
  const auto classifier = make_classifier({what.arch, count, width}, rng);
  Checkpoint out;
  describe_classifier(*classifier, width, 32, out);
  std::string names;
  for (const std::string& name : what.classes) names += (names.empty() ? "[\"" : ", \"") + name + "\"";
  out.facts["class_names"] = names + "]";
  out.parts["state_dict_classifier"] = copy_state(*classifier);
  if (what.masker) {
    MaskerOptions options;
    options.tap_widths = classifier->tap_widths();
    options.use_layers = {1, 2};
    options.add_prob_layers = what.prob;
    options.add_class_ids = what.class_ids;
    options.classes = count;
    Masker masker(options, rng);
    describe_masker(options, out);
    out.parts["state_dict_masker"] = copy_state(masker);
  }
  write_checkpoint(path, out);
}

// Pictures of 48x40 with a bright disc: val/<class>/v<i>.png, masks/<class>/v<i>.png, val.json, boxes.json in the frame
// of 32x32 (the shorter side resized to 32, then cut in the middle), mask.chk, classifier.chk.
struct TinyData {
  static constexpr int images = 7;
  ScratchFolder folder;
  std::string list = folder / "val.json", boxes = folder / "boxes.json", masker = folder / "mask.chk",
              classifier = folder / "classifier.chk";

  TinyData() {
    const std::vector<std::string> classes{"left", "right"};
    Metadata metadata(folder / "val", classes);
    BoxTable table;
    Rng rng(3);
    constexpr int width = 48, height = 40, radius = 9;
    for (int i = 0; i < images; ++i) {
      const std::string& name = classes[static_cast<std::size_t>(i % 2)];
      const int cx = i % 2 ? 30 : 18, cy = 14 + i;
      std::vector<std::uint8_t> rgb(width * height * 3), mask(width * height);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const bool inside = (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius;
          const auto at = static_cast<std::size_t>(y * width + x);
          mask[at] = inside ? 255 : 0;
          for (std::size_t c = 0; c < 3; ++c)
            rgb[at * 3 + c] = static_cast<std::uint8_t>(inside ? 200 + rng.below(56) : rng.below(100));
        }
      }
      const std::string file = name + "/v" + std::to_string(i) + ".png";
      for (const std::string place : {"val/", "masks/"}) std::filesystem::create_directories(folder / (place + name));
      write_png(folder / ("val/" + file), height, width, 3, rgb);
      write_png(folder / ("masks/" + file), height, width, 1, mask);
      metadata.add(folder / ("val/" + file), i % 2);
      // x: 48 -> 38, cut 3 on the left; both axes shrink to 0.8.
      const auto at = [](int v, int cut) { return static_cast<std::int64_t>(v * 0.8) - cut; };
      table.add("v" + std::to_string(i),
                {{at(cx - radius, 3), at(cy - radius, 0), at(cx + radius + 1, 3), at(cy + radius + 1, 0)}});
    }
    metadata.write(list);
    table.write(boxes);
    write_tiny(masker);
    TinyNetworks plain;
    plain.masker = false;
    plain.seed = 6;
    write_tiny(classifier, plain);
  }
};

}  // namespace pen::test
