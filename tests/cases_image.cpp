// Cases of the mask kernels and of rows of logits.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

void add_masks(Registry& reg) {
  struct Mix {
    MaskCells d;
    int64_t c;
  };
  for (const auto& [d, c] : {Mix{{0, 4, 1}, 3}, Mix{{1, 1, 1}, 1}, Mix{{5, 7, 1}, 3}, Mix{{300, 101, 1}, 3},
                             Mix{{7, 11, 1}, 40}, Mix{{0, 4, 4}, 3}, Mix{{1, 1, 4}, 3}, Mix{{6, 5, 4}, 3},
                             Mix{{112, 56, 4}, 3}, Mix{{9, 2, 3}, 5}, Mix{{2, 9, 2}, 1}})
    for (const Side side : {Side::in, Side::out})
      for (const bool filled : {false, true}) {
        const int64_t cells = d.rows * d.w, n = cells * d.scale * d.scale * c;
        const std::string name = str(d.rows, "x", d.w, d.scale > 1 ? str(" of ", d.scale, "x", d.scale) : std::string(),
                                     ", ", c, " channels", side == Side::in ? " in" : " out", filled ? " filled" : "");
        reg.add("mask_mix_fwd", name, elementwise, [=](auto& b) -> Call {
          const auto* x = b.in("x", n);
          const auto* m = b.in("m", cells, 0, 1);
          const auto* filling = filled ? b.in("filling", n) : nullptr;
          auto* y = b.out("y", n);
          return [=](const Context& ctx) { mask_mix_fwd(ctx, d, c, side, x, m, filling, y); };
        });
        reg.add("mask_mix_bwd", name, product, [=](auto& b) -> Call {
          const auto* x = b.in("x", n);
          const auto* m = b.in("m", cells, 0, 1);
          const auto* filling = filled ? b.in("filling", n) : nullptr;
          const auto* dy = b.in("dy", n);
          auto* dx = b.optional("dx", n);
          auto* dm = b.optional("dm", cells);
          auto* dfilling = filled ? b.optional("dfilling", n) : nullptr;
          return [=](const Context& ctx) { mask_mix_bwd(ctx, d, c, side, x, m, filling, dy, dx, dm, dfilling); };
        });
      }
  struct Masks {
    int64_t n, h, w;
  };
  for (const Masks d : {Masks{0, 4, 5}, {1, 1, 1}, {3, 5, 7}, {2, 1, 9}, {1, 190, 181}, {33, 14, 15}}) {
    const std::string shape = str(d.n, "x", d.h, "x", d.w);
    for (const double border : {0.0, 1.0}) {
      reg.add("total_variation_fwd", str(shape, " border ", border), summed, [=](auto& b) -> Call {
        const auto* m = b.in("m", d.n * d.h * d.w, 0, 1);
        auto* y = d.h * d.w == 1 ? b.out_zero("y", d.n) : b.out("y", d.n);
        return [=](const Context& ctx) { total_variation_fwd(ctx, d.n, d.h, d.w, border, m, y); };
      });
      reg.add("total_variation_bwd", str(shape, " border ", border), elementwise, [=](auto& b) -> Call {
        const auto* m = b.in("m", d.n * d.h * d.w, 0, 1);
        const auto* dy = b.in("dy", d.n);
        auto* dm = d.h * d.w == 1 ? b.out_zero("dm", d.n) : b.out("dm", d.n * d.h * d.w);
        return [=](const Context& ctx) { total_variation_bwd(ctx, d.n, d.h, d.w, border, m, dy, dm); };
      });
    }
    for (const int64_t scale : {1, 4})
      reg.add("mask_statistics", str(shape, " repeated ", scale), summed, [=](auto& b) -> Call {
        const auto* m = b.in("m", d.n * d.h * d.w, 0, 1);
        auto* y = b.out("y", d.n * 3);
        return [=](const Context& ctx) { mask_statistics(ctx, d.n, d.h, d.w, scale, m, y); };
      });
  }
}

// y (rows,classes) = f(x), and dx = f(y, dy)
template <class F, class G>
void add_softmax(Registry& reg, const char* forward, const char* backward, Rows d, F f, G g, double low, double high) {
  const int64_t n = d.rows * d.c;
  reg.add(forward, str(d.rows, "x", d.c), summed, [=](auto& b) -> Call {
    const auto* x = b.in("x", n, -8, 8);
    auto* y = d.c == 1 ? b.out_zero("y", n) : b.out("y", n);  // one class: probability 1, log 0
    return [=](const Context& ctx) { f(ctx, d, x, y); };
  });
  reg.add(backward, str(d.rows, "x", d.c), summed, [=](auto& b) -> Call {
    const auto* y = b.in("y", n, low, high);
    const auto* dy = b.in("dy", n);
    auto* dx = b.out("dx", n);
    return [=](const Context& ctx) { g(ctx, d, y, dy, dx); };
  });
}

void add_logits(Registry& reg) {
  for (const Rows d : {Rows{0, 3}, Rows{1, 1}, Rows{7, 5}, Rows{3, 1001}, Rows{130, 10}}) {
    const int64_t n = d.rows * d.c;
    const std::string shape = str(d.rows, "x", d.c);
    add_softmax(
        reg, "softmax_fwd", "softmax_bwd", d,
        [](const Context& c, Rows s, const auto* x, auto* y) { softmax_fwd(c, s.rows, s.c, x, y); },
        [](const Context& c, Rows s, const auto* y, const auto* dy, auto* dx) {
          softmax_bwd(c, s.rows, s.c, y, dy, dx);
        },
        0, 1);
    add_softmax(
        reg, "log_softmax_fwd", "log_softmax_bwd", d,
        [](const Context& c, Rows s, const auto* x, auto* y) { log_softmax_fwd(c, s.rows, s.c, x, y); },
        [](const Context& c, Rows s, const auto* y, const auto* dy, auto* dx) {
          log_softmax_bwd(c, s.rows, s.c, y, dy, dx);
        },
        -4, 0);
    for (const double smoothing : {0.0, 0.1}) {
      reg.add("cross_entropy_fwd", str(shape, " smoothing ", smoothing), summed, [=](auto& b) -> Call {
        const auto* x = b.in("x", n, -8, 8);
        const auto* labels = b.in_ids("labels", d.rows, d.c);
        auto* loss = d.c == 1 ? b.out_zero("loss", d.rows) : b.out("loss", d.rows);
        return [=](const Context& ctx) { cross_entropy_fwd(ctx, d.rows, d.c, smoothing, x, labels, loss); };
      });
      reg.add("cross_entropy_bwd", str(shape, " smoothing ", smoothing), summed, [=](auto& b) -> Call {
        const auto* x = b.in("x", n, -8, 8);
        const auto* labels = b.in_ids("labels", d.rows, d.c);
        const auto* dloss = b.in("dloss", d.rows);
        auto* dx = d.c == 1 ? b.out_zero("dx", n) : b.out("dx", n);
        return [=](const Context& ctx) { cross_entropy_bwd(ctx, d.rows, d.c, smoothing, x, labels, dloss, dx); };
      });
    }
    reg.add("entropy_fwd", shape, summed, [=](auto& b) -> Call {
      const auto* x = b.in("x", n, -3, 3);
      auto* h = d.c == 1 ? b.out_zero("h", d.rows) : b.out("h", d.rows);
      return [=](const Context& ctx) { entropy_fwd(ctx, d.rows, d.c, x, h); };
    });
    reg.add("entropy_bwd", shape, summed, [=](auto& b) -> Call {
      const auto* x = b.in("x", n, -3, 3);
      const auto* dh = b.in("dh", d.rows);
      auto* dx = d.c == 1 ? b.out_zero("dx", n) : b.out("dx", n);
      return [=](const Context& ctx) { entropy_bwd(ctx, d.rows, d.c, x, dh, dx); };
    });
    for (const bool backward : {false, true}) {
      const std::string name = shape + (backward ? " backward" : " forward");
      reg.add("prior_divergence_fwd", name, summed, [=](auto& b) -> Call {
        const auto* x = b.in("x", n, -3, 3);
        const auto* prior = b.in("prior", d.c, 0.05, 1);
        auto* y = d.c == 1 ? b.out_zero("y", d.rows) : b.out("y", d.rows);
        return [=](const Context& ctx) { prior_divergence_fwd(ctx, d.rows, d.c, backward, x, prior, y); };
      });
      reg.add("prior_divergence_bwd", name, summed, [=](auto& b) -> Call {
        const auto* x = b.in("x", n, -3, 3);
        const auto* prior = b.in("prior", d.c, 0.05, 1);
        const auto* dy = b.in("dy", d.rows);
        auto* dx = d.c == 1 ? b.out_zero("dx", n) : b.out("dx", n);
        return [=](const Context& ctx) { prior_divergence_bwd(ctx, d.rows, d.c, backward, x, prior, dy, dx); };
      });
    }
    reg.add("argmax_rows", shape, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* best = b.out_ids("best", d.rows);
      if (d.c == 1) b.zeros_are_right();
      return [=](const Context& ctx) { argmax_rows(ctx, d.rows, d.c, x, best); };
    });
    for (const bool divide : {false, true})
      reg.add("largest_excess", str(shape, divide ? " ratio" : ""), exact, [=](auto& b) -> Call {
        const auto* q = b.in("q", n, 0, 1);
        std::vector<double> priors;
        for (int64_t k = 0; k < d.c; ++k) priors.push_back(0.05 + 0.01 * static_cast<double>(k * 7 % 13));
        const double* prior = b.in_f64("prior", priors);
        auto* best = b.out_ids("best", d.rows);
        if (d.c == 1) b.zeros_are_right();
        return [=](const Context& ctx) { largest_excess(ctx, d.rows, d.c, divide, q, prior, best); };
      });
    reg.add("equal_ids", shape, exact, [=](auto& b) -> Call {
      const auto* x1 = b.in_ids("a", d.rows, 2);
      const auto* x2 = b.in_ids("b", d.rows, 2);
      auto* y = b.out("y", d.rows);
      return [=](const Context& ctx) { equal_ids(ctx, d.rows, x1, x2, y); };
    });
  }
}

}  // namespace

void add_image_cases(Registry& r) {
  add_masks(r);
  add_logits(r);
}

}  // namespace pen::test
