// What attribution methods can be told on the command line; every command that runs them derives from this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/run_options.h"
#include "eval/attribution/method.h"

namespace pen {

struct MethodOptions {
  std::string target;  // empty: label where labels are known, else top1
  std::string layer;
  std::int64_t internal_batch = 16;
  std::int64_t samples = 0, steps = 0, cells = 0, window = 0, stride = 0;
  double noise = 0, keep = 0, smooth = -1;
};

// --fuse of the commands that run classifiers; T has a bool `fuse`.
template <class T>
void add_fuse(OptionsOf<T>& table) {
  table.add("fuse", &T::fuse,
            "run the classifier as one operation with its norms folded in, where logits, taps and plain gradients are "
            "enough; false: layer by layer, the same up to rounding");
}

template <class T>
void add_method_options(OptionsOf<T>& table) {
  using M = MethodOptions;
  table.group("Attribution methods");
  table
      .add("target", &M::target, "class that is explained: label, top1 or a number; none: label where labels are known")
      .placeholder("CLASS")
      .or_none();
  table
      .add("layer", &M::layer,
           "module whose feature maps are read (attribute --list_layers shows them); none: the last one")
      .placeholder("NAME")
      .or_none();
  table.add("internal_batch", &M::internal_batch, "images, or altered copies of one, that pass the network together")
      .between(1, 65536);
  table.add("samples", &M::samples, "masks of rise, noisy copies of smooth_grad; 0: 4000 and 50")
      .between(0, 10'000'000);
  table.add("steps", &M::steps, "points on the path of integrated_gradients; 0: 50").between(0, 10'000'000);
  table.add("noise", &M::noise, "smooth_grad: standard deviation as a share of the image's range; 0: 0.15")
      .between(0, 10);
  table.add("cells", &M::cells, "rise: cells of the coarse mask on each axis; 0: 7").between(0, 8192);
  table.add("keep", &M::keep, "rise: probability that a cell is on; 0: 0.5").between(0, 1);
  table.add("window", &M::window, "occlusion: side of the patch in pixels; 0: a seventh of the image's")
      .between(0, 8192);
  table.add("stride", &M::stride, "occlusion: pixels from patch to patch; 0: half the patch").between(0, 8192);
  table
      .add("smooth", &M::smooth,
           "Gaussian smoothing of finished maps, sigma as a share of their side; -1: the method's own")
      .between(-1, 1);
}

// The names of MethodOptions' fields, but for target.
const std::vector<std::string>& method_option_names();

// Options that none of the methods reads have no effect: a usage error. methods may hold casme, which reads none.
// Options of the table that it does not have are passed over.
void check_method_options(const OptionValues& values, const std::vector<std::string>& methods);

// labels: whether the images' labels are known. Without them target label is a usage error.
eval::TargetRule target_of(const MethodOptions& options, bool labels);
eval::AttributionOptions attribution_options(const MethodOptions& options, std::int64_t seed);

// "a,b,c" taken apart; each casme or an attribution method under the name that the registry has for it. An unknown one,
// none at all or one that is named twice: a usage error.
std::vector<std::string> parse_methods(const std::string& text);

}  // namespace pen
