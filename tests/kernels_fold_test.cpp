// Folded convolutions (kernels/shared/fold.inl): what cuDNN is asked for in place of a stride of 2 over few channels.
// The plain loops on folded images and weights against the plain loops on those as they were.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "kernels/ref/exec.h"
#include "kernels/shared/conv.inl"
#include "kernels/shared/fold.inl"
#include "tests/conv_arrays.h"

using namespace pen;
using namespace pen::kernels;
using namespace pen::test;
using Exec = pen::kernels::ref::Exec;
using std::int64_t;

namespace {

const Context ctx;

// Outputs begin as what shows in every sum.
template <class real>
std::vector<real> unwritten(int64_t n) {
  return std::vector<real>(static_cast<std::size_t>(n),
                           static_cast<real>(std::numeric_limits<wide_t<real>>::quiet_NaN()));
}
template <class to, class from>
std::vector<to> as(const std::vector<from>& values) {
  std::vector<to> out;
  for (const from v : values) out.push_back(static_cast<to>(v));
  return out;
}
// A convolution's arguments, and the same of the folded one. Sums are of `sums`, gradients of folded images and weights
// of `real`, as a library gives them.
template <class real>
struct Folded {
  using wide = wide_t<real>;
  explicit Folded(const Conv2d& conv) : d(conv), to(shared::folded(conv)) {
    shared::fold_pixels<Exec>(ctx, d, x.data(), x_folded.data());
    auto channels_last = unwritten<real>(size_w(to));
    shared::fold_weights<Exec>(ctx, d, w.data(), channels_last.data());
    w_folded = transposed(to.k, to.r * to.s, to.c, channels_last);
  }
  std::vector<wide> forward() const {
    auto y = unwritten<wide>(size_y(to));
    shared::conv2d_fwd<Exec>(ctx, to, x_folded.data(), w_folded.data(), static_cast<const real*>(nullptr), y.data());
    return y;
  }
  std::vector<wide> weight_gradient(Accum accum, std::vector<wide> dw) const {
    auto sums = unwritten<wide>(size_w(to));
    shared::conv2d_bwd_weight<Exec>(ctx, to, x_folded.data(), dy.data(), sums.data(), Accum::write);
    const auto channels_last = transposed(to.k, to.c, to.r * to.s, as<real>(sums));
    shared::unfold_weights<Exec>(ctx, d, channels_last.data(), dw.data(), accum);
    return dw;
  }
  std::vector<real> folded_gradient() const {
    auto sums = unwritten<wide>(size_x(to));
    shared::conv2d_bwd_data<Exec>(ctx, to, dy.data(), w_folded.data(), sums.data());
    return as<real>(sums);
  }
  std::vector<real> data_gradient() const {
    auto dx = unwritten<real>(size_x(d));
    shared::unfold_pixels<Exec>(ctx, d, folded_gradient().data(), dx.data());
    return dx;
  }
  std::vector<wide> mask_gradient(int64_t scale) const {
    auto dm = unwritten<wide>(d.n * (d.h / scale) * (d.w / scale));
    shared::mask_of_folded<Exec>(ctx, d, scale, image.data(), folded_gradient().data(), dm.data());
    return dm;
  }

  const Conv2d d, to;
  const std::vector<real> x = numbers<real>(size_x(d), 1), w = numbers<real>(size_w(d), 2),
                          dy = numbers<real>(size_y(d), 3);
  const std::vector<wide> image = numbers<wide>(size_x(d), 4);
  std::vector<real> x_folded = unwritten<real>(size_x(to)), w_folded;
};

// The same without folding, in double.
struct Plain {
  template <class real>
  explicit Plain(const Folded<real>& f)
      : d(f.d), x(as<double>(f.x)), w(as<double>(f.w)), dy(as<double>(f.dy)), image(as<double>(f.image)) {}
  std::vector<double> forward() const {
    auto y = unwritten<double>(size_y(d));
    shared::conv2d_fwd<Exec>(ctx, d, x.data(), w.data(), static_cast<const double*>(nullptr), y.data());
    return y;
  }
  std::vector<double> weight_gradient(Accum accum, std::vector<double> dw) const {
    shared::conv2d_bwd_weight<Exec>(ctx, d, x.data(), dy.data(), dw.data(), accum);
    return dw;
  }
  std::vector<double> data_gradient() const {
    auto dx = unwritten<double>(size_x(d));
    shared::conv2d_bwd_data<Exec>(ctx, d, dy.data(), w.data(), dx.data());
    return dx;
  }
  std::vector<double> mask_gradient(int64_t scale) const {
    auto dm = unwritten<double>(d.n * (d.h / scale) * (d.w / scale));
    const std::vector<double> nothing(dy.size());
    shared::conv2d_bwd_mask<Exec>(ctx, d, scale, dy.data(), nothing.data(), w.data(), image.data(), dm.data());
    return dm;
  }
  const Conv2d d;
  const std::vector<double> x, w, dy, image;
};

// The largest difference; NaN counts as infinite.
double apart(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    most = difference <= most ? most : std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return most;
}

Conv2d conv(int64_t h, int64_t w, int64_t c, int64_t r, int64_t s, int pad) {
  Conv2d d{.n = 2, .h = h, .w = w, .c = c, .k = 3, .r = r, .s = s, .p = 0, .q = 0, .stride = 2, .pad = pad};
  d.p = (h + 2 * pad - r) / 2 + 1, d.q = (w + 2 * pad - s) / 2 + 1;
  return d;
}

// All sizes: odd and even, with pixels behind the last window, windows in the padding alone (3x3, padding 3), and even
// kernels, whose folded image may end before the last pixel.
std::vector<Conv2d> convolutions() {
  struct Kernel {
    int64_t r, s;
  };
  std::vector<Conv2d> all;
  for (const auto [r, s] : {Kernel{3, 3}, Kernel{5, 5}, Kernel{7, 7}, Kernel{3, 7}, Kernel{4, 6}})
    for (const int pad : {0, 1, 2, 3})
      for (const int64_t c : {1, 2, 3, 4})
        for (const int64_t h : {8, 9, 12})
          for (const int64_t w : {12, 13}) all.push_back(conv(h, w, c, r, s, pad));
  return all;
}

std::string name_of(const Conv2d& d) {
  return str("h", d.h, " w", d.w, " c", d.c, " r", d.r, " s", d.s, " pad", d.pad);
}

}  // namespace

TEST_CASE("fold: which convolutions") {
  const Conv2d stem = conv(224, 224, 3, 7, 7, 3);
  CHECK(shared::folds(stem));
  for (const Conv2d& d : convolutions()) CHECK(shared::folds(d));
  const auto with = [&](auto change) {
    Conv2d d = stem;
    change(d);
    return shared::folds(d);
  };
  CHECK_FALSE(with([](Conv2d& d) { d.stride = 1; }));
  CHECK_FALSE(with([](Conv2d& d) { d.stride = 3; }));
  CHECK_FALSE(with([](Conv2d& d) { d.dilation = 2; }));
  CHECK_FALSE(with([](Conv2d& d) { d.groups = 3; }));
  CHECK_FALSE(with([](Conv2d& d) { d.c = 5; }));
  CHECK_FALSE(with([](Conv2d& d) { d.r = 2; }));
  CHECK_FALSE(with([](Conv2d& d) { d.s = 1; }));
  const Conv2d to = shared::folded(stem);
  CHECK(to.h == 115);
  CHECK(to.w == 115);
  CHECK(to.c == 16);
  CHECK(to.r == 4);
  CHECK(to.s == 4);
  CHECK(to.p == 112);
  CHECK(to.q == 112);
  CHECK(to.stride == 1);
  CHECK(to.pad == 0);
}

TEST_CASE("fold: each channel of a folded image is the pixel that its definition says, or zero") {
  for (const Conv2d& d : convolutions()) {
    const Folded<double> f(d);
    int wrong = 0;
    for (int64_t o = 0; o < size_x(f.to); ++o) {
      const int64_t channel = o % 16, j = o / 16 % f.to.w, i = o / 16 / f.to.w % f.to.h, n = o / 16 / f.to.w / f.to.h;
      const int64_t block = channel / d.c, ch = channel % d.c;
      const int64_t h = 2 * i + block / 2 - d.pad, w = 2 * j + block % 2 - d.pad;
      const bool seen = block < 4 && h >= 0 && h < d.h && w >= 0 && w < d.w;
      const double expected = seen ? f.x[static_cast<std::size_t>(((n * d.h + h) * d.w + w) * d.c + ch)] : 0;
      wrong += f.x_folded[static_cast<std::size_t>(o)] != expected;
    }
    CAPTURE(name_of(d));
    CHECK(wrong == 0);
  }
}

TEST_CASE("fold: the convolution and its gradients are those of the image as it was, in double") {
  for (const Conv2d& d : convolutions()) {
    CAPTURE(name_of(d));
    const Folded<double> folded(d);
    const Plain plain(folded);
    CHECK(apart(folded.forward(), plain.forward()) < 1e-12);
    CHECK(apart(folded.data_gradient(), plain.data_gradient()) < 1e-12);
    const auto before = numbers<double>(size_w(d), 6);
    for (const Accum accum : {Accum::write, Accum::add}) {
      const auto dw = accum == Accum::add ? before : unwritten<double>(size_w(d));
      CHECK(apart(folded.weight_gradient(accum, dw), plain.weight_gradient(accum, dw)) < 1e-12);
    }
    for (const int64_t scale : {1, 2, 3, 4})
      if (d.h % scale == 0 && d.w % scale == 0)
        CHECK(apart(folded.mask_gradient(scale), plain.mask_gradient(scale)) < 1e-12);
  }
}

// Sums are made in double here: what is left are roundings, to float (2^-24) and of gradients to 8 bits (2^-8).
TEST_CASE("fold: in 16 bit the same but for the roundings of what a library gives") {
  const double to_float = std::ldexp(1.0, -24), to_narrow = std::ldexp(1.0, -8) * 1.0001, beside = 1e-13;
  const Conv2d d = conv(12, 20, 3, 7, 7, 3);
  const Folded<bf16> folded(d);
  const Plain plain(folded);
  const auto outside = [](const std::vector<double>& found, const std::vector<double>& expected, auto bound) {
    REQUIRE(found.size() == expected.size());
    int count = 0;
    for (std::size_t i = 0; i < found.size(); ++i) count += !(std::abs(found[i] - expected[i]) <= bound(i));
    return count;
  };
  const auto y = plain.forward();
  CHECK(outside(as<double>(folded.forward()), y, [&](std::size_t i) { return std::abs(y[i]) * to_float + beside; }) ==
        0);
  const auto dx = plain.data_gradient();
  CHECK(outside(as<double>(folded.data_gradient()), dx,
                [&](std::size_t i) { return std::abs(dx[i]) * to_narrow + beside; }) == 0);
  const auto dw = plain.weight_gradient(Accum::write, unwritten<double>(size_w(d)));
  CHECK(outside(as<double>(folded.weight_gradient(Accum::write, unwritten<float>(size_w(d)))), dw,
                [&](std::size_t i) { return std::abs(dw[i]) * to_narrow + beside; }) == 0);
  for (const int64_t scale : {1, 2, 4}) {
    // What a cell's terms come to without their signs: each is rounded, and as floats they are added.
    std::vector<double> terms(static_cast<std::size_t>(d.n * (d.h / scale) * (d.w / scale)));
    for (int64_t i = 0; i < size_x(d); ++i) {
      const int64_t w = i / d.c % d.w, line = i / d.c / d.w;  // scale divides H: a band of lines is of one image
      terms[static_cast<std::size_t>(line / scale * (d.w / scale) + w / scale)] +=
          std::abs(plain.image[static_cast<std::size_t>(i)] * dx[static_cast<std::size_t>(i)]);
    }
    const double each = to_narrow + static_cast<double>(scale * scale * d.c + 1) * to_float * 1.01;
    CHECK(outside(as<double>(folded.mask_gradient(scale)), plain.mask_gradient(scale),
                  [&](std::size_t i) { return terms[i] * each + beside; }) == 0);
  }
}
