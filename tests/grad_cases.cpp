#include "tests/grad_cases.h"

#include <algorithm>
#include <regex>

#include "tensor/ops.h"

namespace pen::test {
namespace {

using Inputs = std::vector<Tensor>;

class List {
 public:
  std::vector<GradCase> cases;

  void add(const std::string& op, const std::string& what, Inputs inputs, Function f, Function surrogate = {}) {
    cases.push_back({op, what, std::move(inputs), std::move(f), std::move(surrogate)});
  }
  // An operation on one tensor, by its own name.
  void unary(const std::string& op, const Tensor& x, Tensor (*f)(const Tensor&)) {
    add(op, to_string(x.shape()), {x}, [f](const Inputs& in) { return f(in[0]); });
  }
  std::uint64_t seed() { return ++seed_; }

 private:
  std::uint64_t seed_ = 0;
};

Tensor ids(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

// ---- convolutions, linear
struct ConvCase {
  Shape x, w;
  ops::ConvOptions options;
  bool bias = true;
  int output_pad = 0;
};

std::string describe(const ConvCase& c) {
  const ops::ConvOptions& o = c.options;
  return "x " + to_string(c.x) + " w " + to_string(c.w) + " stride " + std::to_string(o.stride) + " pad " +
         std::to_string(o.pad) + " dilation " + std::to_string(o.dilation) + " groups " + std::to_string(o.groups) +
         (c.bias ? " with bias" : " without bias") + " output_pad " + std::to_string(c.output_pad);
}

void convolutions(List& list) {
  const ConvCase plain[] = {
      {{2, 5, 7, 3}, {4, 3, 3, 3}, {}},
      {{1, 5, 7, 3}, {4, 3, 3, 3}, {.stride = 1, .pad = 1}, false},
      {{2, 7, 6, 3}, {5, 3, 3, 3}, {.stride = 2, .pad = 1}},
      {{1, 8, 7, 2}, {3, 2, 3, 3}, {.stride = 2, .pad = 1}, false},  // the last row and column are not all read
      {{1, 9, 8, 2}, {3, 2, 3, 3}, {.stride = 1, .pad = 2, .dilation = 2}},
      {{1, 9, 11, 2}, {3, 2, 3, 3}, {.stride = 3, .pad = 4, .dilation = 4}},
      {{2, 6, 5, 4}, {6, 2, 3, 3}, {.stride = 1, .pad = 1, .dilation = 1, .groups = 2}},
      {{1, 6, 5, 4}, {4, 1, 3, 3}, {.stride = 2, .pad = 1, .dilation = 1, .groups = 4}, false},  // depthwise
      {{2, 3, 4, 5}, {3, 5, 1, 1}, {}},
      {{1, 5, 6, 3}, {2, 3, 1, 1}, {.stride = 2}},
      {{1, 9, 10, 3}, {4, 3, 7, 7}, {.stride = 2, .pad = 3}},
      {{1, 6, 5, 2}, {3, 2, 2, 4}, {.stride = 1, .pad = 2}},  // R != S
      {{3, 1, 1, 2}, {3, 2, 1, 1}, {}},
  };
  for (const ConvCase& c : plain) {
    Inputs in{uniform(c.x, list.seed()), uniform(c.w, list.seed())};
    if (c.bias) in.push_back(uniform({c.w[0]}, list.seed()));
    list.add("conv2d", describe(c), in,
             [o = c.options](const Inputs& i) { return ops::conv2d(i[0], i[1], i.size() > 2 ? i[2] : Tensor(), o); });
  }
  const ConvCase transposed[] = {
      {{2, 3, 4, 3}, {3, 2, 4, 4}, {.stride = 2, .pad = 1}},
      {{1, 4, 3, 2}, {2, 5, 3, 3}, {.stride = 2, .pad = 1}, true, 1},
      {{1, 3, 5, 2}, {2, 3, 3, 2}, {.stride = 1, .pad = 1, .dilation = 2}, false},
      {{2, 2, 3, 3}, {3, 1, 2, 2}, {.stride = 3}, false, 2},
  };
  for (const ConvCase& c : transposed) {
    Inputs in{uniform(c.x, list.seed()), uniform(c.w, list.seed())};
    if (c.bias) in.push_back(uniform({c.w[1]}, list.seed()));
    list.add("conv_transpose2d", describe(c), in, [o = c.options, extra = c.output_pad](const Inputs& i) {
      return ops::conv_transpose2d(i[0], i[1], i.size() > 2 ? i[2] : Tensor(), o, extra);
    });
  }
  for (const std::int64_t n : {5, 1}) {
    const Tensor x = uniform({n, 7}, list.seed()), w = uniform({3, 7}, list.seed()), b = uniform({3}, list.seed());
    const std::string batch = "batch " + std::to_string(n);
    list.add("linear", batch + " with bias", {x, w, b}, [](const Inputs& i) { return ops::linear(i[0], i[1], i[2]); });
    list.add("linear", batch + " without bias", {x, w}, [](const Inputs& i) { return ops::linear(i[0], i[1], {}); });
  }
}

// ---- batch norm
// With ReLU the sum before it must stay away from 0. x has two clusters, which normalise to about +-1 and leave a gap
// around beta; a residual of 4..5 outweighs any normalised value here.
void norms(List& list) {
  for (const Shape& shape : {Shape{2, 3, 5, 4}, Shape{1, 5, 3, 3}, Shape{7, 2}})
    for (const bool training : {true, false})
      for (const bool relu : {false, true})
        for (const bool with_residual : {false, true}) {
          const Shape c{shape.back()};
          Inputs in{away_from_zero(shape, list.seed(), 0.8, 1.2), uniform(c, list.seed(), 0.5, 1.0),
                    uniform(c, list.seed(), -0.1, 0.1)};
          if (with_residual) in.push_back(away_from_zero(shape, list.seed(), 4, 5));
          const Tensor mean = uniform(c, list.seed(), -0.1, 0.1), var = uniform(c, list.seed(), 0.7, 1.3);
          list.add("batch_norm",
                   to_string(shape) + (training ? " training" : " evaluation") + (relu ? " relu" : "") +
                       (with_residual ? " residual" : ""),
                   in, [=](const Inputs& i) {
                     const DType type = i[0].dtype();
                     return ops::batch_norm(i[0], i[1], i[2], mean.to(type).clone(), var.to(type).clone(),
                                            {.training = training, .momentum = 0.3, .eps = 1e-3, .relu = relu},
                                            i.size() > 3 ? i[3] : Tensor());
                   });
        }
}

// ---- pooling, resizing, joining
void shapes(List& list) {
  const ops::PoolOptions pools[] = {{3, 2, 1}, {2, 2, 0}, {3, 1, 1}, {2, 3, 1}, {5, 2, 2}};
  for (const ops::PoolOptions& o : pools)
    for (const Shape& shape : {Shape{2, 7, 6, 3}, Shape{1, 5, 8, 2}}) {
      const std::string what = to_string(shape) + " window " + std::to_string(o.k) + " stride " +
                               std::to_string(o.stride) + " pad " + std::to_string(o.pad);
      list.add("max_pool2d", what, {distinct(shape, list.seed())},
               [o](const Inputs& i) { return ops::max_pool2d(i[0], o); });
      list.add("avg_pool2d", what, {uniform(shape, list.seed())},
               [o](const Inputs& i) { return ops::avg_pool2d(i[0], o); });
    }
  list.unary("global_avg_pool", uniform({2, 5, 3, 4}, list.seed()), ops::global_avg_pool);
  list.unary("global_avg_pool", uniform({1, 1, 7, 1}, list.seed()), ops::global_avg_pool);
  // Through float32 (from float32: double) and back, which is the identity but for rounding.
  list.add(
      "convert", "there and back", {uniform({2, 3, 5, 1}, list.seed())},
      [](const Inputs& i) {
        const DType own = i[0].dtype();
        return ops::convert(ops::convert(i[0], own == DType::f64 ? DType::f32 : DType::f64), own);
      },
      [](const Inputs& i) { return ops::affine(i[0], 1, 0); });

  const std::int64_t sizes[][4] = {{4, 5, 9, 7}, {9, 7, 4, 5}, {5, 6, 10, 12}, {5, 8, 3, 13},
                                   {3, 4, 1, 1}, {1, 1, 4, 3}, {6, 5, 6, 5},   {1, 7, 5, 2}};
  for (const auto& s : sizes) {
    const std::int64_t p = s[2], q = s[3];
    const Tensor x = uniform({p == 1 ? 1 : 2, s[0], s[1], 3}, list.seed());
    const std::string what = to_string(x.shape()) + " to " + std::to_string(p) + "x" + std::to_string(q);
    if (p <= s[0] * 3)
      list.add("resize_nearest", what, {x}, [=](const Inputs& i) { return ops::resize_nearest(i[0], p, q); });
    for (const bool corners : {false, true})
      list.add("resize_bilinear", what + (corners ? " align_corners" : ""), {x},
               [=](const Inputs& i) { return ops::resize_bilinear(i[0], p, q, corners); });
  }

  list.add("concat_channels", "three parts of 2, 3 and 1 channels",
           {uniform({2, 3, 4, 2}, list.seed()), uniform({2, 3, 4, 3}, list.seed()), uniform({2, 3, 4, 1}, list.seed())},
           [](const Inputs& i) { return ops::concat_channels(i); });
  list.add("concat_channels", "one part, two dimensions", {uniform({3, 2}, list.seed())},
           [](const Inputs& i) { return ops::concat_channels(i); });
  list.add("broadcast_planes", "(2, 3) to 4x5", {uniform({2, 3}, list.seed())},
           [](const Inputs& i) { return ops::broadcast_planes(i[0], 4, 5); });
  list.add("broadcast_planes", "(1, 2) to 3x1", {uniform({1, 2}, list.seed())},
           [](const Inputs& i) { return ops::broadcast_planes(i[0], 3, 1); });
  const std::int64_t pads[][4] = {{1, 2, 0, 3}, {-1, 0, 2, -2}, {0, 0, 0, 0}};
  for (const auto& p : pads)
    list.add("pad2d", str(p[0], ", ", p[1], ", ", p[2], ", ", p[3]), {uniform({2, 3, 5, 2}, list.seed())},
             [=](const Inputs& i) { return ops::pad2d(i[0], p[0], p[1], p[2], p[3]); });
  for (const std::array<int, 4>& order : {std::array{1, 0, 3, 2}, std::array{2, 0, 3, 1}})
    list.add("permute", str(order[0], order[1], order[2], order[3]), {uniform({2, 3, 4, 5}, list.seed())},
             [=](const Inputs& i) { return ops::permute(i[0], order); });
  for (const int radius : {0, 2, 6})
    list.add("filter_separable", str("radius ", radius), {uniform({2, 4, 5, 3}, list.seed())}, [=](const Inputs& i) {
      std::vector<double> taps;  // not symmetric: their reversal shows
      for (int t = 0; t <= 2 * radius; ++t) taps.push_back(1.0 / (1 + t));
      return ops::filter_separable(i[0], Tensor::from(taps, {2 * radius + 1}).to(i[0].dtype()));
    });
  list.add("embedding", "a row twice, a row never", {uniform({4, 3}, list.seed()), ids({2, 0, 2, 1, 0})},
           [](const Inputs& i) { return ops::embedding(i[0], i[1]); });
  list.add("reshape", "(2, 3, 5, 1) to (2, 15)", {uniform({2, 3, 5, 1}, list.seed())}, [](const Inputs& i) {
    return ops::reshape(i[0], {2, 15});
  });
  for (const std::int64_t begin : {0, 1, 3})
    list.add("slice_batch", "images " + std::to_string(begin) + ".. of 5", {uniform({5, 3, 2, 2}, list.seed())},
             [begin](const Inputs& i) { return ops::slice_batch(i[0], begin, 2); });
  list.add("slice_batch", "the only image", {uniform({1, 3}, list.seed())},
           [](const Inputs& i) { return ops::slice_batch(i[0], 0, 1); });
  list.add("concat_batch", "batches of 2, 1 and 3",
           {uniform({2, 3, 4, 2}, list.seed()), uniform({1, 3, 4, 2}, list.seed()), uniform({3, 3, 4, 2}, list.seed())},
           [](const Inputs& i) { return ops::concat_batch(i); });
}

// ---- elementwise and reductions
void math(List& list) {
  for (const Shape& shape : {Shape{2, 5, 3, 3}, Shape{1, 17}}) {
    list.unary("relu", away_from_zero(shape, list.seed()), ops::relu);
    list.unary("elu", away_from_zero(shape, list.seed()), ops::elu);
    list.unary("abs", away_from_zero(shape, list.seed()), ops::abs);
    list.unary("reciprocal", away_from_zero(shape, list.seed(), 0.5, 2), ops::reciprocal);
    list.unary("sigmoid", uniform(shape, list.seed(), -4, 4), ops::sigmoid);
    list.unary("tanh", uniform(shape, list.seed(), -2, 2), ops::tanh);
    list.unary("square", uniform(shape, list.seed()), ops::square);
    list.unary("sum", uniform(shape, list.seed()), ops::sum);
    list.unary("mean", uniform(shape, list.seed()), ops::mean);
    list.unary("mean_per_image", uniform(shape, list.seed()), ops::mean_per_image);
    const Tensor a = uniform(shape, list.seed()), b = uniform(shape, list.seed());
    const std::string what = to_string(shape);
    list.add("add", what, {a, b}, [](const Inputs& i) { return ops::add(i[0], i[1]); });
    list.add("sub", what, {a, b}, [](const Inputs& i) { return ops::sub(i[0], i[1]); });
    list.add("mul", what, {a, b}, [](const Inputs& i) { return ops::mul(i[0], i[1]); });
    list.add("add", what + " to itself", {a}, [](const Inputs& i) { return ops::add(i[0], i[0]); });
    list.add("mul", what + " by itself", {a}, [](const Inputs& i) { return ops::mul(i[0], i[0]); });
    list.add("scale_by", what, {a, uniform({1}, list.seed())},
             [](const Inputs& i) { return ops::scale_by(i[0], i[1]); });
    list.add("affine", what, {a}, [](const Inputs& i) { return ops::affine(i[0], -1.5, 0.25); });
    for (const double slope : {0.2, 0.0})
      list.add("leaky_relu", what + " slope " + std::to_string(slope), {away_from_zero(shape, list.seed())},
               [slope](const Inputs& i) { return ops::leaky_relu(i[0], slope); });
    list.add(
        "round_straight_through", what, {away_from_zero(shape, list.seed())},
        [](const Inputs& i) { return ops::round_straight_through(i[0], 0.1); },
        [](const Inputs& i) { return ops::affine(i[0], 1, 0); });
  }
}

// ---- logits
void logits(List& list) {
  for (const Shape& shape : {Shape{4, 7}, Shape{1, 5}}) {
    const Tensor x = uniform(shape, list.seed(), -3, 3);
    const std::string what = to_string(shape);
    list.unary("softmax", x, ops::softmax);
    list.unary("log_softmax", x, ops::log_softmax);
    list.unary("entropy", x, ops::entropy);
    const Tensor labels = shape[0] == 1 ? ids({4}) : ids({0, 6, 2, 6});
    for (const double smoothing : {0.0, 0.1})
      list.add("cross_entropy", what + " smoothing " + std::to_string(smoothing), {x, labels},
               [=](const Inputs& i) { return ops::cross_entropy(i[0], i[1], smoothing); });
    // Neither normalised nor differentiated.
    const Tensor prior = uniform({shape[1]}, list.seed(), 0.05, 0.4);
    for (const bool backward : {false, true})
      list.add("prior_divergence", what + (backward ? " backward" : " forward"), {x},
               [=](const Inputs& i) { return ops::prior_divergence(i[0], prior.to(i[0].dtype()), backward); });
  }
}

// ---- masks
void masks(List& list) {
  for (const Shape& shape : {Shape{2, 5, 4, 3}, Shape{1, 3, 7, 1}}) {
    const Shape plane{shape[0], shape[1], shape[2], 1};
    const Tensor x = uniform(shape, list.seed()), m = uniform(plane, list.seed(), 0.1, 0.9);
    const Tensor filling = uniform(shape, list.seed());
    const std::string what = to_string(shape);
    list.add("mask_in", what, {x, m}, [](const Inputs& i) { return ops::mask_in(i[0], i[1]); });
    list.add("mask_out", what, {x, m}, [](const Inputs& i) { return ops::mask_out(i[0], i[1]); });
    list.add("mask_in", what + " filled", {x, m, filling},
             [](const Inputs& i) { return ops::mask_in(i[0], i[1], i[2]); });
    list.add("mask_out", what + " filled", {x, m, filling},
             [](const Inputs& i) { return ops::mask_out(i[0], i[1], i[2]); });
  }
  // Each value of the mask for 3x3 or 2x2 pixels.
  for (const auto& [shape, plane] :
       {std::pair{Shape{2, 6, 9, 3}, Shape{2, 2, 3, 1}}, {Shape{1, 2, 8, 1}, Shape{1, 1, 4, 1}}}) {
    const Tensor x = uniform(shape, list.seed()), m = uniform(plane, list.seed(), 0.1, 0.9);
    const Tensor filling = uniform(shape, list.seed());
    const std::string what = to_string(shape) + " by " + to_string(plane);
    list.add("mask_in", what, {x, m}, [](const Inputs& i) { return ops::mask_in(i[0], i[1]); });
    list.add("mask_out", what + " filled", {x, m, filling},
             [](const Inputs& i) { return ops::mask_out(i[0], i[1], i[2]); });
  }
  for (const Shape& shape : {Shape{2, 5, 4, 1}, Shape{1, 1, 6, 1}, Shape{1, 3, 1, 1}})
    for (const double border : {0.3, 0.0})
      list.add("total_variation", to_string(shape) + " border " + std::to_string(border),
               {uniform(shape, list.seed(), 0, 1)},
               [border](const Inputs& i) { return ops::total_variation(i[0], border); });
}

}  // namespace

std::vector<GradCase> grad_cases() {
  List list;
  convolutions(list);
  norms(list);
  shapes(list);
  math(list);
  logits(list);
  masks(list);
  return std::move(list.cases);
}

std::vector<std::string> declared_functions(const std::string& header_text) {
  static const std::regex declaration(
      R"((?:^|\n)(?!//|using|struct|namespace)[A-Za-z_][A-Za-z0-9_:<> ]*?[ &*](\w+)\()");
  std::vector<std::string> names;
  for (auto it = std::sregex_iterator(header_text.begin(), header_text.end(), declaration);
       it != std::sregex_iterator(); ++it)
    if (std::find(names.begin(), names.end(), (*it)[1]) == names.end()) names.push_back((*it)[1]);
  return names;
}

}  // namespace pen::test
