// Cases of the kernels that libraries do: convolution, matrix product, batch norm in training, pooling. Odd sizes, and
// height and width always differ.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

int64_t extent(int64_t in, int64_t kernel, int stride, int pad, int dilation) {
  return (in + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

}  // namespace

std::vector<NamedConv> convolutions() {
  std::vector<NamedConv> all{
      {"1x1", {.n = 2, .h = 5, .w = 7, .c = 6, .k = 10, .r = 1, .s = 1, .p = 0, .q = 0}},
      {"1x1 stride 2", {.n = 2, .h = 9, .w = 6, .c = 16, .k = 32, .r = 1, .s = 1, .p = 0, .q = 0, .stride = 2}},
      {"3x3", {.n = 1, .h = 7, .w = 5, .c = 3, .k = 5, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1}},
      {"3x3 wide channels", {.n = 2, .h = 6, .w = 9, .c = 64, .k = 48, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1}},
      {"3x3 stride 2", {.n = 3, .h = 9, .w = 8, .c = 5, .k = 7, .r = 3, .s = 3, .p = 0, .q = 0, .stride = 2, .pad = 1}},
      {"7x7 stride 2",
       {.n = 2, .h = 17, .w = 22, .c = 3, .k = 8, .r = 7, .s = 7, .p = 0, .q = 0, .stride = 2, .pad = 3}},
      // These are folded on a GPU in 16 bit, as the one before is (kernels/shared/fold.inl).
      {"7x7 stride 2, one channel, odd",
       {.n = 2, .h = 15, .w = 11, .c = 1, .k = 16, .r = 7, .s = 7, .p = 0, .q = 0, .stride = 2, .pad = 3}},
      {"5x5 stride 2, four channels, keyed weights",
       {.n = 1,
        .h = 13,
        .w = 18,
        .c = 4,
        .k = 16,
        .r = 5,
        .s = 5,
        .p = 0,
        .q = 0,
        .stride = 2,
        .pad = 1,
        .weight_key = 0xF01D}},
      {"3x3 stride 2, three channels to seven",
       {.n = 3, .h = 10, .w = 7, .c = 3, .k = 7, .r = 3, .s = 3, .p = 0, .q = 0, .stride = 2, .pad = 2}},
      {"4x6 stride 2, pixels beyond the last window",
       {.n = 2, .h = 9, .w = 15, .c = 2, .k = 8, .r = 4, .s = 6, .p = 0, .q = 0, .stride = 2}},
      {"5x5 stride 3, pixels beyond the last window",
       {.n = 2, .h = 13, .w = 16, .c = 1, .k = 7, .r = 5, .s = 5, .p = 0, .q = 0, .stride = 3, .pad = 1}},
      {"3x3 dilation 2",
       {.n = 1, .h = 11, .w = 9, .c = 4, .k = 6, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 2, .dilation = 2}},
      {"two groups", {.n = 2, .h = 6, .w = 5, .c = 6, .k = 4, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .groups = 2}},
      {"depthwise", {.n = 2, .h = 7, .w = 6, .c = 9, .k = 9, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .groups = 9}},
      {"depthwise, stride 2",
       {.n = 3,
        .h = 9,
        .w = 14,
        .c = 32,
        .k = 32,
        .r = 3,
        .s = 3,
        .p = 0,
        .q = 0,
        .stride = 2,
        .pad = 1,
        .groups = 32}},
      {"depthwise, 40 channels",
       {.n = 2, .h = 7, .w = 19, .c = 40, .k = 40, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .groups = 40}},
      {"3x1", {.n = 2, .h = 6, .w = 4, .c = 3, .k = 4, .r = 3, .s = 1, .p = 0, .q = 0}},
      {"one pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1, .p = 0, .q = 0}},
      {"no images", {.n = 0, .h = 6, .w = 4, .c = 3, .k = 4, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1}},
      {"keyed weights",
       {.n = 2, .h = 5, .w = 6, .c = 8, .k = 12, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .weight_key = 0xC0FFEE}},
      {"3x3 by Winograd",
       {.n = 3, .h = 9, .w = 14, .c = 32, .k = 64, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .winograd = true}},
      {"3x3 by Winograd, fewer tiles than panels",
       {.n = 1, .h = 6, .w = 5, .c = 32, .k = 336, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .winograd = true}},
      {"3x3 by Winograd, whose transpose has a part of a panel",
       {.n = 1, .h = 9, .w = 7, .c = 80, .k = 48, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .winograd = true}},
      {"1x1 in panels", {.n = 2, .h = 20, .w = 17, .c = 64, .k = 144, .r = 1, .s = 1, .p = 0, .q = 0}},
      {"1x1 in panels, stride 2",
       {.n = 3, .h = 9, .w = 6, .c = 272, .k = 80, .r = 1, .s = 1, .p = 0, .q = 0, .stride = 2}},
      {"1x1 in panels, stride 3, few outputs",
       {.n = 1, .h = 8, .w = 9, .c = 80, .k = 272, .r = 1, .s = 1, .p = 0, .q = 0, .stride = 3}},
      {"1x1 in panels, keyed weights",
       {.n = 2, .h = 5, .w = 7, .c = 128, .k = 128, .r = 1, .s = 1, .p = 0, .q = 0, .weight_key = 0xBEEF}},
      {"3x3 in panels, stride 2",
       {.n = 2, .h = 9, .w = 12, .c = 80, .k = 70, .r = 3, .s = 3, .p = 0, .q = 0, .stride = 2, .pad = 1}},
      {"3x3 to one channel", {.n = 2, .h = 19, .w = 7, .c = 80, .k = 1, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1}},
      {"3x3 with windows in the padding alone",
       {.n = 1, .h = 5, .w = 9, .c = 8, .k = 5, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 4}},
      {"3x3 dilation 3 with taps beside the input",
       {.n = 1, .h = 2, .w = 2, .c = 8, .k = 5, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 4, .dilation = 3}},
      {"3x3 dilation 2, one output",
       {.n = 1, .h = 5, .w = 5, .c = 8, .k = 5, .r = 3, .s = 3, .p = 0, .q = 0, .dilation = 2}},
      {"3x2 to one channel, stride 2, dilation 3",
       {.n = 1,
        .h = 18,
        .w = 9,
        .c = 16,
        .k = 1,
        .r = 3,
        .s = 2,
        .p = 0,
        .q = 0,
        .stride = 2,
        .pad = 4,
        .dilation = 3}},
      {"3x3 too narrow for Winograd",
       {.n = 2, .h = 9, .w = 6, .c = 24, .k = 16, .r = 3, .s = 3, .p = 0, .q = 0, .pad = 1, .winograd = true}},
  };
  for (NamedConv& c : all) {
    c.d.p = extent(c.d.h, c.d.r, c.d.stride, c.d.pad, c.d.dilation);
    c.d.q = extent(c.d.w, c.d.s, c.d.stride, c.d.pad, c.d.dilation);
  }
  return all;
}

namespace {

void add_weight_gradient(Registry& reg, const std::string& name, const Conv2d& d) {
  const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.k, nw = d.k * d.c / d.groups * d.r * d.s;
  reg.add_both16("conv2d_bwd_weight", name, product, [=](auto& b, Accum accum) -> Call {
    const auto* x = b.in("x", nx);
    const auto* dy = b.in("dy", ny);
    auto* dw = b.accumulated_wide("dw", nw, accum);
    if (d.n == 0 && accum == Accum::write) b.zeros_are_right();
    return [=](const Context& ctx) { conv2d_bwd_weight(ctx, d, x, dy, dw, accum); };
  });
}

void add_convolutions(Registry& reg) {
  for (const auto& [name, d] : convolutions()) {
    const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.k, nw = d.k * d.c / d.groups * d.r * d.s;
    for (const bool bias : {false, true})
      reg.add("conv2d_fwd", std::string(name) + (bias ? " with bias" : ""), product, [=, d = d](auto& b) -> Call {
        const auto* x = b.in("x", nx);
        const auto* w = b.in("w", nw, -1, 1);
        const auto* shift = bias ? b.in("b", d.k) : nullptr;
        auto* y = b.out("y", ny);
        const Conv2d keyed = with_key_of(b.type, d);
        return [=](const Context& ctx) { conv2d_fwd(ctx, keyed, x, w, shift, y); };
      });
    reg.add("conv2d_bwd_data", name, product, [=, d = d](auto& b) -> Call {
      const auto* dy = b.in("dy", ny);
      const auto* w = b.in("w", nw, -1, 1);
      auto* dx = b.out("dx", nx);
      const Conv2d keyed = with_key_of(b.type, d);
      return [=](const Context& ctx) { conv2d_bwd_data(ctx, keyed, dy, w, dx); };
    });
    add_weight_gradient(reg, name, d);
  }
  // Too large for the others: what is summed in more than one go.
  add_weight_gradient(reg, "1x1 in panels, many outputs",
                      {.n = 3, .h = 22, .w = 20, .c = 80, .k = 64, .r = 1, .s = 1, .p = 22, .q = 20});
  add_weight_gradient(
      reg, "3x3 by Winograd, many tiles",
      {.n = 2, .h = 28, .w = 31, .c = 32, .k = 32, .r = 3, .s = 3, .p = 28, .q = 31, .pad = 1, .winograd = true});
}

void add_products(Registry& reg) {
  struct Size {
    int64_t m, n, k;
  };
  for (const Size s : {Size{1, 1, 1}, {5, 7, 3}, {33, 10, 129}, {0, 4, 3}, {4, 3, 0}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        const std::string name = str(s.m, "x", s.n, "x", s.k, ta ? " a transposed" : "", tb ? " b transposed" : "");
        reg.add_both("matmul", name, product, [=](auto& b, Accum accum) -> Call {
          const auto* x1 = b.in("a", s.m * s.k);
          const auto* x2 = b.in("b", s.k * s.n);
          auto* y =
              s.k == 0 && accum == Accum::write ? b.out_zero("c", s.m * s.n) : b.accumulated("c", s.m * s.n, accum);
          const Matmul d{s.m, s.n, s.k, ta, tb};
          return [=](const Context& ctx) { matmul(ctx, d, x1, x2, y, accum); };
        });
      }
}

void add_batch_norm(Registry& reg) {
  // The last three: sums in several pieces, of columns in several blocks of threads, with and without packs.
  for (const Rows d :
       {Rows{2, 1}, Rows{35, 6}, Rows{4099, 3}, Rows{130, 64}, Rows{70, 520}, Rows{70, 521}, Rows{33000, 1}}) {
    const int64_t n = d.rows * d.c;
    for (const int what : {0, 1, 2, 3})
      reg.add16("batch_norm_fwd", str(d.rows, "x", d.c, what & 1 ? ", residual" : "", what & 2 ? ", ReLU" : ""),
                product, [=](auto& b) -> Call {
                  const auto* x = b.in("x", n, -1, 3);
                  const auto* residual = what & 1 ? b.in("residual", n) : nullptr;
                  const auto* gamma = b.in_wide("gamma", d.c, 0.5, 2);
                  const auto* beta = b.in_wide("beta", d.c);
                  auto* y = b.out("y", n);
                  auto* mean = b.out_wide("mean", d.c);
                  auto* var = b.out_wide("var", d.c);
                  return [=](const Context& ctx) {
                    batch_norm_fwd(ctx, d, 1e-5, x, residual, gamma, beta, (what & 2) != 0, y, mean, var);
                  };
                });
    for (const bool relu : {false, true})
      reg.add_both16("batch_norm_bwd", str(d.rows, "x", d.c, relu ? ", ReLU" : ""), product,
                     [=](auto& b, Accum accum) -> Call {
                       const auto* x = b.in("x", n, -1, 3);
                       const auto* dy = b.in("dy", n);
                       const auto* y = relu ? b.in("y", n) : nullptr;
                       const auto* gamma = b.in_wide("gamma", d.c, 0.5, 2);
                       // Not this batch's own statistics: the formula takes mean and var as given.
                       const auto* mean = b.in_wide("mean", d.c, 0.5, 1.5);
                       const auto* var = b.in_wide("var", d.c, 0.5, 2);
                       auto* dx = b.optional("dx", n);
                       auto* dresidual = b.optional("dresidual", n);
                       auto* dgamma = b.optional_accumulated_wide("dgamma", d.c, accum);
                       auto* dbeta = b.optional_accumulated_wide("dbeta", d.c, accum);
                       return [=](const Context& ctx) {
                         batch_norm_bwd(ctx, d, 1e-5, x, dy, y, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum);
                       };
                     });
  }
}

// For each window the place of a winner that lies inside x.
std::vector<std::uint8_t> winners(const Pool2d& d) {
  std::vector<std::uint8_t> index;
  for (int64_t o = 0; o < d.n * d.p * d.q * d.c; ++o) {
    const int64_t q = o / d.c % d.q, p = o / d.c / d.q % d.p;
    std::vector<std::uint8_t> inside;
    for (int i = 0; i < d.k * d.k; ++i) {
      const int64_t h = p * d.stride - d.pad + i / d.k, w = q * d.stride - d.pad + i % d.k;
      if (h >= 0 && h < d.h && w >= 0 && w < d.w) inside.push_back(static_cast<std::uint8_t>(i));
    }
    index.push_back(inside.at(static_cast<std::size_t>(o) * 7 % inside.size()));
  }
  return index;
}

void add_pooling(Registry& reg) {
  struct NamedPool {
    const char* name;
    Pool2d d;
  };
  std::vector<NamedPool> all{
      {"3x3 stride 2 pad 1", {.n = 2, .h = 9, .w = 7, .c = 5, .p = 0, .q = 0, .k = 3, .stride = 2, .pad = 1}},
      {"3x3 stride 2 pad 1, even", {.n = 1, .h = 8, .w = 12, .c = 16, .p = 0, .q = 0, .k = 3, .stride = 2, .pad = 1}},
      {"3x3 stride 2 pad 1, many channels",
       {.n = 1, .h = 5, .w = 4, .c = 520, .p = 0, .q = 0, .k = 3, .stride = 2, .pad = 1}},
      {"2x2", {.n = 3, .h = 8, .w = 6, .c = 3, .p = 0, .q = 0, .k = 2, .stride = 2, .pad = 0}},
      {"3x3 stride 1", {.n = 1, .h = 5, .w = 6, .c = 4, .p = 0, .q = 0, .k = 3, .stride = 1, .pad = 1}},
      {"2x2 stride 3", {.n = 2, .h = 7, .w = 9, .c = 2, .p = 0, .q = 0, .k = 2, .stride = 3, .pad = 0}},
      {"one pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .p = 0, .q = 0, .k = 1, .stride = 1, .pad = 0}},
      {"no images", {.n = 0, .h = 9, .w = 7, .c = 5, .p = 0, .q = 0, .k = 3, .stride = 2, .pad = 1}},
  };
  for (NamedPool& c : all) {
    Pool2d d = c.d;
    d.p = extent(d.h, d.k, d.stride, d.pad, 1);
    d.q = extent(d.w, d.k, d.stride, d.pad, 1);
    const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.c;
    reg.add16("max_pool_fwd", c.name, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", nx, -3, -1);  // all negative: padding must not win as a zero
      auto* y = b.out("y", ny);
      auto* index = b.optional_bytes("index", ny);
      return [=](const Context& ctx) { max_pool_fwd(ctx, d, x, y, index); };
    });
    reg.add16("max_pool_bwd", c.name, product, [=](auto& b) -> Call {
      const auto* dy = b.in("dy", ny);
      const auto* index = b.in_bytes("index", winners(d));
      auto* dx = b.out("dx", nx);
      return [=](const Context& ctx) { max_pool_bwd(ctx, d, dy, index, dx); };
    });
    reg.add("avg_pool_fwd", c.name, product, [=](auto& b) -> Call {
      const auto* x = b.in("x", nx, -3, -1);
      auto* y = b.out("y", ny);
      return [=](const Context& ctx) { avg_pool_fwd(ctx, d, x, y); };
    });
    reg.add("avg_pool_bwd", c.name, product, [=](auto& b) -> Call {
      const auto* dy = b.in("dy", ny);
      auto* dx = b.out("dx", nx);
      return [=](const Context& ctx) { avg_pool_bwd(ctx, d, dy, dx); };
    });
  }
}

}  // namespace

void add_library_cases(Registry& r) {
  add_convolutions(r);
  add_products(r);
  add_batch_norm(r);
  add_pooling(r);
}

}  // namespace pen::test
