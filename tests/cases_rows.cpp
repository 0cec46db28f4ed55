// Cases of the kernels that move or add rows and columns, and of resizing.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

void add_sums(Registry& reg) {
  struct Size {
    int64_t outer, rows, cols;
  };
  for (const Size s : {Size{0, 3, 4}, {1, 1, 1}, {3, 5, 7}, {2, 513, 3}, {1, 9001, 5}, {1, 70001, 1}, {5, 49, 130}}) {
    const std::string shape = str(s.outer, "x", s.rows, "x", s.cols);
    reg.add_both("sum_middle", shape, summed, [=](auto& b, Accum accum) -> Call {
      const auto* x = b.in("x", s.outer * s.rows * s.cols);
      auto* y = b.accumulated("y", s.outer * s.cols, accum);
      return [=](const Context& ctx) { sum_middle(ctx, s.outer, s.rows, s.cols, 0.3, x, y, accum); };
    });
    reg.add("spread_middle", shape, elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", s.outer * s.cols);
      auto* y = b.out("y", s.outer * s.rows * s.cols);
      return [=](const Context& ctx) { spread_middle(ctx, s.outer, s.rows, s.cols, 0.3, x, y); };
    });
  }
  reg.add("sum_middle", "of no rows", summed, [=](auto& b) -> Call {
    const auto* x = b.in("x", 0);
    auto* y = b.out_zero("y", 4);
    return [=](const Context& ctx) { sum_middle(ctx, 1, 0, 4, 0.3, x, y, Accum::write); };
  });
  for (const Rows d : {Rows{0, 3}, Rows{1, 1}, Rows{7, 5}, Rows{1, 70001}, Rows{5001, 3}, Rows{3, 257}})
    for (const bool product_of_two : {false, true})
      reg.add("sum_columns", str(d.rows, "x", d.c, product_of_two ? " of products" : ""), summed, [=](auto& b) -> Call {
        const auto* x = b.in("x", d.rows * d.c);
        const auto* other = product_of_two ? b.in("x2", d.rows * d.c) : nullptr;
        auto* y = b.out("y", d.rows);
        return [=](const Context& ctx) { sum_columns(ctx, d.rows, d.c, 0.3, x, other, y); };
      });
}

void add_moves(Registry& reg) {
  for (const Rows d : {Rows{0, 3}, Rows{1, 1}, Rows{7, 5}, Rows{9001, 3}, Rows{35, 130}}) {
    const std::string shape = str(d.rows, "x", d.c);
    reg.add_in_place("add_bias", shape, elementwise, [=](auto& b, bool place) -> Call {
      auto* y = place ? b.inout("x", d.rows * d.c) : nullptr;
      const auto* x = place ? y : b.in("x", d.rows * d.c);
      const auto* bias = b.in("b", d.c);
      if (!place) y = b.out("y", d.rows * d.c);
      return [=](const Context& ctx) { add_bias(ctx, d, x, bias, y); };
    });
    // What lies beside the block keeps its values.
    for (const Accum accum : {Accum::write, Accum::add})
      reg.add16("copy_columns", shape + (accum == Accum::add ? " add" : ""), elementwise, [=](auto& b) -> Call {
        const int64_t x_ld = d.c + 3, y_ld = d.c + 4;
        const auto* x = b.in("x", d.rows * x_ld);
        auto* y = b.inout("y", d.rows * y_ld);
        return [=](const Context& ctx) { copy_columns(ctx, d.rows, d.c, x, x_ld, 2, y, y_ld, 1, accum); };
      });
  }
  struct Image {
    int64_t n, c, h, w;
  };
  for (const Image d : {Image{0, 3, 4, 5}, {1, 1, 1, 1}, {2, 3, 5, 7}, {1, 66, 9, 4}, {3, 2, 130, 61}}) {
    const int64_t n = d.n * d.c * d.h * d.w;
    const std::string shape = str(d.n, "x", d.c, "x", d.h, "x", d.w);
    reg.add("nchw_to_nhwc", shape, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { nchw_to_nhwc(ctx, d.n, d.c, d.h, d.w, x, y); };
    });
    reg.add("nhwc_to_nchw", shape, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { nhwc_to_nchw(ctx, d.n, d.c, d.h, d.w, x, y); };
    });
  }
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{37}}) {
    constexpr int64_t classes = 11, width = 5;
    reg.add("embedding_fwd", str(n), exact, [=](auto& b) -> Call {
      const auto* table = b.in("table", classes * width);
      const auto* ids = b.in_ids("ids", n, classes);
      auto* y = b.out("y", n * width);
      return [=](const Context& ctx) { embedding_fwd(ctx, n, classes, width, table, ids, y); };
    });
    reg.add_both("embedding_bwd", str(n), summed, [=](auto& b, Accum accum) -> Call {
      const auto* dy = b.in("dy", n * width);
      const auto* ids = b.in_ids("ids", n, classes);
      auto* dtable = n == 0 && accum == Accum::write ? b.out_zero("dtable", classes * width)
                                                     : b.accumulated("dtable", classes * width, accum);
      return [=](const Context& ctx) { embedding_bwd(ctx, n, classes, width, dy, ids, dtable, accum); };
    });
  }
}

void add_resizing(Registry& reg) {
  const Resize2d sizes[] = {
      {2, 5, 7, 3, 11, 13}, {1, 9, 8, 2, 4, 3}, {2, 7, 5, 4, 7, 5},   {1, 1, 1, 1, 1, 1},      {1, 1, 2, 3, 4, 5},
      {3, 6, 4, 1, 1, 2},   {0, 5, 7, 3, 4, 6}, {1, 7, 14, 5, 21, 9}, {2, 28, 30, 1, 97, 101}, {1, 56, 48, 8, 112, 96},
  };
  for (const Resize2d& size : sizes) {
    const int64_t nx = size.n * size.h * size.w * size.c, ny = size.n * size.p * size.q * size.c;
    const std::string shape = str(size.n, "x", size.h, "x", size.w, "x", size.c, " to ", size.p, "x", size.q);
    reg.add("resize_nearest_fwd", shape, exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", nx);
      auto* y = b.out("y", ny);
      return [=](const Context& ctx) { resize_nearest_fwd(ctx, size, x, y); };
    });
    reg.add("resize_nearest_bwd", shape, product, [=](auto& b) -> Call {
      const auto* dy = b.in("dy", ny);
      auto* dx = b.out("dx", nx);
      return [=](const Context& ctx) { resize_nearest_bwd(ctx, size, dy, dx); };
    });
    for (const bool corners : {false, true}) {
      Resize2d d = size;
      d.align_corners = corners;
      const std::string name = shape + (corners ? " corners" : "");
      // The place that is read is computed in the element's type: its rounding is multiplied by the image's slope.
      reg.add("resize_bilinear_fwd", name, Tolerance{2e-5, 1e-13}, [=](auto& b) -> Call {
        const auto* x = b.in("x", nx);
        auto* y = b.out("y", ny);
        return [=](const Context& ctx) { resize_bilinear_fwd(ctx, d, x, y); };
      });
      reg.add("resize_bilinear_bwd", name, Tolerance{2e-5, 1e-13}, [=](auto& b) -> Call {
        const auto* dy = b.in("dy", ny);
        auto* dx = b.out("dx", nx);
        return [=](const Context& ctx) { resize_bilinear_bwd(ctx, d, dy, dx); };
      });
    }
  }
}

}  // namespace

void add_rows_cases(Registry& r) {
  add_sums(r);
  add_moves(r);
  add_resizing(r);
}

}  // namespace pen::test
