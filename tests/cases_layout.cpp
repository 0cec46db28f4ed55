// Cases of windows, permutations and filters.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

void add_windows(Registry& reg) {
  const Window2d windows[] = {{2, 5, 7, 3, 9, 10, 1, 2},   {1, 4, 6, 5, 2, 3, -1, -2}, {2, 3, 3, 4, 5, 2, 2, -1},
                              {1, 1, 1, 1, 1, 1, 0, 0},    {0, 5, 7, 3, 6, 8, 0, 1},   {2, 97, 101, 8, 99, 104, 0, 1},
                              {1, 5, 4, 2, 3, 6, -7, 0},  // nothing of x is left
                              {3, 33, 21, 1, 33, 21, 0, 0}};
  for (const Window2d& d : windows) {
    const std::string name = str(d.n, "x", d.h, "x", d.w, "x", d.c, " to ", d.p, "x", d.q, " at ", d.top, ",", d.left);
    const bool nothing = d.top <= -d.h;
    reg.add("window2d", name, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", d.n * d.h * d.w * d.c);
      auto* y = nothing ? b.out_zero("y", d.n * d.p * d.q * d.c) : b.out("y", d.n * d.p * d.q * d.c);
      return [=](const Context& ctx) { window2d(ctx, d, x, y); };
    });
  }
}

void add_permutations(Registry& reg) {
  const Permute4 permutations[] = {{{2, 3, 4, 5}, {1, 0, 3, 2}},   {{2, 3, 4, 5}, {3, 2, 1, 0}},
                                   {{1, 7, 1, 3}, {2, 3, 0, 1}},   {{4, 3, 2, 1}, {0, 1, 2, 3}},
                                   {{0, 3, 2, 4}, {3, 0, 1, 2}},   {{28, 31, 27, 29}, {1, 0, 3, 2}},
                                   {{2, 17, 19, 40}, {0, 3, 1, 2}}};
  for (const Permute4& d : permutations) {
    const int64_t n = d.sizes[0] * d.sizes[1] * d.sizes[2] * d.sizes[3];
    const std::string name = str(d.sizes[0], "x", d.sizes[1], "x", d.sizes[2], "x", d.sizes[3], " as ", d.order[0],
                                 d.order[1], d.order[2], d.order[3]);
    reg.add("permute4", name, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { permute4(ctx, d, x, y); };
    });
  }
}

void add_filters(Registry& reg) {
  struct Size {
    int64_t outer, length, inner, radius;
  };
  for (const Size s : {Size{3, 11, 2, 2}, {1, 5, 3, 7}, {2, 1, 1, 0}, {4, 224, 3, 80}, {0, 4, 2, 1}, {1, 9, 70, 1}})
    reg.add("filter_middle", str(s.outer, "x", s.length, "x", s.inner, " radius ", s.radius), summed,
            [=](auto& b) -> Call {
              const auto* x = b.in("x", s.outer * s.length * s.inner);
              const auto* taps = b.in("taps", 2 * s.radius + 1);
              auto* y = b.out("y", s.outer * s.length * s.inner);
              return [=](const Context& ctx) { filter_middle(ctx, s.outer, s.length, s.inner, s.radius, x, taps, y); };
            });
}

}  // namespace

void add_layout_cases(Registry& r) {
  add_windows(r);
  add_permutations(r);
  add_filters(r);
}

}  // namespace pen::test
