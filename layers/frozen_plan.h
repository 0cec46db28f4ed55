// What a frozen network is inside: its steps with what can be said of them before anything runs, and the record that a
// forward pass leaves for its backward. For layers/frozen*.cpp alone.
//
// Steps run in stretches. In each, as few images go through at a time as keep what passes from step to step in the
// CPU's caches: between stretches there is one value, the whole batch of it.
#pragma once

#include "kernels/kernels.h"
#include "layers/frozen.h"
#include "tensor/ops_common.h"

namespace pen {

struct FrozenPlan {
  using Value = FrozenSteps::Value;
  using Step = FrozenSteps::Step;
  using Kind = FrozenSteps::Kind;

  FrozenPlan(FrozenSteps list, const FreezeOptions& options);

  FrozenSteps list;
  FreezeOptions options;
  std::vector<int> last_use;   // by value: the last step that reads it
  std::vector<int> consumers;  // by value: how often it is read
  std::vector<bool> is_tap;    // by value

  const std::vector<Step>& steps() const { return list.steps(); }
  std::size_t values() const { return steps().size() + 1; }
};

// Whether a sum may be written over its residual. On a GPU the library would need a copy of the residual.
inline bool reusable(const Tensor& residual) {
  return residual.defined() && residual.unique() && !residual.device().is_cuda();
}

// Where a value stands in lists that are kept by value.
inline std::size_t value_index(FrozenSteps::Value v) { return static_cast<std::size_t>(v); }

// Calls f.template operator()<T>(), T the type of activations: bf16, f16, or as everywhere.
template <class F>
void dispatch_inside(DType type, F&& f) {
  dispatch16(type, "frozen network", f);
}

// Steps [first,last). Step i makes value i + 1, so a stretch reads value `first` and makes value `last`.
struct Stretch {
  std::size_t first = 0, last = 0;
  std::int64_t images = 0;  // at a time, at most
  std::int64_t groups(std::int64_t n) const { return n <= images ? 1 : (n + images - 1) / images; }
};
struct Stretches {
  std::vector<Stretch> list;
  std::vector<Shape> shapes;  // by value
};
// For images x (N,H,W,C) of this shape. A GPU takes the whole batch in each.
Stretches stretches_of(const FrozenPlan& plan, const Shape& x, DType inside, Device device);

// What one forward pass leaves for its backward.
struct Pass {
  struct Step {
    kernels::Conv2d conv;
    kernels::Pool2d pool;
    Shape in;
    Tensor winner;  // indices of a max pool
    Tensor open;    // of its result: a bit where its ReLU is open; undefined where it has none
  };
  // Some images on their way through a stretch.
  struct Group {
    std::int64_t begin = 0, count = 0;
    std::vector<Step> steps;  // from the first of the stretch
  };
  struct Part {
    Stretch stretch;
    std::vector<Group> groups;
    Tensor open;  // of the stretch's result, all images: the next stretch may group them otherwise
  };
  std::vector<Part> parts;
};

// The last images of a batch that go along with those that a backward concerns: they leave no record, and taps are
// theirs alone. Only where the whole batch goes through a network at once.
struct Along {
  std::int64_t images = 0;
  std::vector<bool> taps = {};  // by number: which are wanted; the others stay undefined
};

// Logits (N,classes) of x, which is let go after its last use. taps, pass: null where not wanted.
Tensor frozen_forward(const FrozenPlan& plan, Tensor x, std::vector<Tensor>* taps, Pass* pass, const Along& along = {});

// From d loss / d logits to d loss / d x.
Tensor frozen_backward(const FrozenPlan& plan, const Pass& pass, Tensor dy);
// To the gradient of the mask, of this shape, behind a batch of `images` masked in and masked out.
Tensor frozen_backward_to_mask(const FrozenPlan& plan, const Pass& pass, Tensor dy, const Tensor& images,
                               const Shape& mask);

}  // namespace pen
