#include <algorithm>

#include "kernels/kernels.h"
#include "layers/fixed_values.h"
#include "tensor/ops.h"
#include "train/bench_kernels.h"

namespace pen {
namespace {

using kernels::Accum;
using kernels::Conv2d;
using std::int64_t;

constexpr double float_bytes = 4;

double number(int64_t n) { return static_cast<double>(n); }

Tensor values(const std::string& name, int64_t n, Device device) {
  return Tensor::from(fixed_values(name, {n}), {n}).to(device);
}

std::string rows_text(int64_t rows, int64_t c) { return str(rows, "x", c); }

class Cases {
 public:
  Cases(const NetworkShapes& shapes, KernelArena& arena, bool winograd)
      : shapes_(shapes), arena_(arena), ctx_(context(arena.device())), winograd_(winograd) {}

  std::vector<KernelCase> all() {
    for (const NetworkShapes::Conv& conv : shapes_.convs) convolution(conv);
    for (const NetworkShapes::Norm& norm : shapes_.norms) norms(norm);
    for (const NetworkShapes::Pool& pool : shapes_.pools) pools(pool);
    head();
    masks();
    return std::move(cases_);
  }

 private:
  // elements: how many floats are read and written at least.
  void add(const std::string& kernel, const std::string& shape, int count, double flops, double elements,
           std::function<void(int)> call, double further_bytes = 0) {
    cases_.push_back({kernel, shape, count, flops, elements * float_bytes + further_bytes, std::move(call)});
  }

  void convolution(const NetworkShapes::Conv& use) {
    KernelArena& a = arena_;
    const kernels::Context ctx = ctx_;
    Conv2d d = use.d;
    d.winograd = winograd_;
    const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.k, nw = d.k * d.c / d.groups * d.r * d.s;
    PEN_CHECK_AS(usage, nw <= KernelArena::weight_floats, "bench kernels: a convolution has ", nw,
                 " weights; this measures networks of up to ", KernelArena::weight_floats);
    const double flops = flops_of(d), traffic = number(nx + ny + nw);
    const std::string shape = describe(d);
    add("conv2d_fwd", shape, use.count, flops, traffic,
        [=, &a](int i) { kernels::conv2d_fwd(ctx, d, a.x(i), a.weights(), nullptr, a.y()); });
    add("conv2d_bwd_data", shape, use.count, flops, traffic,
        [=, &a](int i) { kernels::conv2d_bwd_data(ctx, d, a.x(i), a.weights(), a.y()); });
    add("conv2d_bwd_weight", shape, use.count, flops, traffic,
        [=, &a](int i) { kernels::conv2d_bwd_weight(ctx, d, a.x(i), a.other(i), a.y(), Accum::write); });
    // Frozen weights keep their key, as in a frozen network.
    d.weight_key = ++key_;
    const std::string after = str(use.residual ? " + residual" : "", use.relu ? ", ReLU" : "");
    add(
        "conv2d_fused_fwd", shape + after, use.count, flops, traffic + (use.residual ? number(ny) : 0),
        [=, &a, residual = use.residual, relu = use.relu](int i) {
          kernels::conv2d_fused_fwd(ctx, d, a.x(i), a.weights(), a.positive(), residual ? a.other(i) : nullptr, relu,
                                    a.y(), relu ? a.bytes() : nullptr);
        },
        use.relu ? number(kernels::bit_bytes(ny)) : 0);
    add(
        "conv2d_fused_bwd_data", shape + (use.gated ? ", gate" : ""), use.count, flops, traffic,
        [=, &a, gated = use.gated](int i) {
          kernels::conv2d_fused_bwd_data(ctx, d, a.x(i), a.weights(), nullptr, gated ? a.gates() : nullptr, a.y());
        },
        use.gated ? number(kernels::bit_bytes(nx)) : 0);
    if (d.c == 3) {  // the first: its way back ends at the mask
      const kernels::MaskCells m = mask_cells();
      add("conv2d_bwd_mask", str(shape, ", mask ", d.h / m.scale, "x", m.w), use.count, flops,
          traffic + number(ny + m.rows * m.w), [=, &a](int i) {
            kernels::conv2d_bwd_mask(ctx, d, m.scale, a.x(i), a.other(i), a.weights(), a.x(i), a.y());
          });
    }
  }

  void norms(const NetworkShapes::Norm& norm) {
    KernelArena& a = arena_;
    const kernels::Context ctx = ctx_;
    const kernels::Rows d = norm.d;
    const double n = number(d.rows * d.c);
    const std::string shape = rows_text(d.rows, d.c);
    // Statistics and their use are two passes over x; on the way back over x and dy.
    add("batch_norm_fwd", shape + ", ReLU", norm.count, 6 * n, 3 * n, [=, &a](int i) {
      kernels::batch_norm_fwd(ctx, d, 1e-5, a.x(i), nullptr, a.positive(), a.weights(), true, a.y(), a.small(0),
                              a.small(1));
    });
    add("batch_norm_bwd", shape + ", ReLU", norm.count, 11 * n, 7 * n, [=, &a](int i) {
      kernels::batch_norm_bwd(ctx, d, 1e-5, a.x(i), a.other(i), a.x(i), a.positive(), a.weights(), a.positive(), a.y(),
                              nullptr, a.small(0), a.small(1), Accum::write);
    });
    add("norm_eval_fwd", shape + ", ReLU", norm.count, 3 * n, 2 * n,
        [=, &a](int i) { kernels::norm_eval_fwd(ctx, d, a.x(i), a.positive(), a.weights(), nullptr, true, a.y()); });
  }

  void pools(const NetworkShapes::Pool& pool) {
    KernelArena& a = arena_;
    const kernels::Context ctx = ctx_;
    const kernels::Pool2d d = pool.d;
    const double nx = number(d.n * d.h * d.w * d.c), ny = number(d.n * d.p * d.q * d.c);
    const std::string shape = str(d.n, "x", d.h, "x", d.w, "x", d.c, " ", d.k, "x", d.k, " /", d.stride);
    add(
        "max_pool_fwd", shape, pool.count, ny * d.k * d.k, nx + ny,
        [=, &a](int i) { kernels::max_pool_fwd(ctx, d, a.x(i), a.y(), a.bytes()); }, ny);
    add(
        "max_pool_bwd", shape, pool.count, ny, nx + ny,
        // Places that the forward direction found: any other might lie outside of x.
        [=, &a, known = false](int i) mutable {
          if (!known) kernels::max_pool_fwd(ctx, d, a.x(i), a.y(), a.bytes());
          known = true;
          kernels::max_pool_bwd(ctx, d, a.x(i), a.bytes(), a.y());
        },
        ny);
    add("avg_pool_fwd", shape, 0, ny * d.k * d.k, nx + ny,
        [=, &a](int i) { kernels::avg_pool_fwd(ctx, d, a.x(i), a.y()); });
    add("avg_pool_bwd", shape, 0, nx, nx + ny, [=, &a](int i) { kernels::avg_pool_bwd(ctx, d, a.x(i), a.y()); });
  }

  // Global pooling and the last layer.
  void head() {
    KernelArena& a = arena_;
    const kernels::Context ctx = ctx_;
    const int64_t n = shapes_.batch, area = shapes_.pooled_pixels, c = shapes_.features, classes = shapes_.classes;
    add("sum_middle", str(n, "x", area, "x", c), 1, number(n * area * c), number(n * (area + 1) * c),
        [=, &a](int i) { kernels::sum_middle(ctx, n, area, c, 1 / number(area), a.x(i), a.y(), Accum::write); });
    const kernels::Matmul d{n, classes, c, false, true};
    add("matmul", str(n, "x", c, " -> ", classes), 1, 2 * number(n * c) * number(classes),
        number(n * c + classes * c + n * classes),
        [=, &a](int i) { kernels::matmul(ctx, d, a.x(i), a.weights(), a.y(), Accum::write); });
    add("entropy_fwd", rows_text(n, classes), 1, 4 * number(n * classes), number(n * classes),
        [=, &a](int i) { kernels::entropy_fwd(ctx, n, classes, a.x(i), a.y()); });
  }

  // The mask as the training step has it: of the finest tap's size where the image's is a multiple of that.
  kernels::MaskCells mask_cells() const {
    const int64_t n = shapes_.batch, side = shapes_.side;
    int64_t scale = 0;
    if (!shapes_.taps.empty()) scale = ops::nearest_repeats(shapes_.taps[0].h, shapes_.taps[0].w, side, side);
    if (scale == 0) scale = 1;
    return {n * (side / scale), side / scale, scale};
  }

  // What stands around the classifier: the image masked, masks and taps resized, the mask's total variation.
  void masks() {
    KernelArena& a = arena_;
    const kernels::Context ctx = ctx_;
    const kernels::MaskCells m = mask_cells();
    const int64_t n = shapes_.batch, side = shapes_.side;
    const double p = number(n * side * side), values = number(m.rows * m.w);
    const std::string shape = str(n, "x", m.w, "x", m.w), image = str(n, "x", side, "x", side, "x3, mask ", shape);
    const kernels::Side out = kernels::Side::out;
    add("mask_mix_fwd", image, 2, 6 * p, 6 * p + values,
        [=, &a](int i) { kernels::mask_mix_fwd(ctx, m, 3, out, a.x(i), a.other(i), nullptr, a.y()); });
    add("mask_mix_bwd", image + " alone", 2, 6 * p, 6 * p + values, [=, &a](int i) {
      kernels::mask_mix_bwd(ctx, m, 3, out, a.x(i), a.other(i), nullptr, a.x(i + 1), nullptr, a.y(), nullptr);
    });
    add("total_variation_fwd", shape, 2, 6 * values, values,
        [=, &a](int i) { kernels::total_variation_fwd(ctx, n, m.w, m.w, 0.3, a.x(i), a.y()); });
    if (shapes_.taps.empty()) return;
    const NetworkShapes::Tap fine = shapes_.taps.front(), coarse = shapes_.taps.back();
    const kernels::Resize2d up{n, fine.h, fine.w, 1, side, side};
    const double small = number(n * fine.h * fine.w);
    add("resize_nearest_fwd", str(n, "x", fine.h, "x", fine.w, " -> ", side, "x", side), 1, 0, small + p,
        [=, &a](int i) { kernels::resize_nearest_fwd(ctx, up, a.x(i), a.y()); });
    add("resize_nearest_bwd", str(n, "x", side, "x", side, " -> ", fine.h, "x", fine.w), 0, p, small + p,
        [=, &a](int i) { kernels::resize_nearest_bwd(ctx, up, a.x(i), a.y()); });
    constexpr int64_t reduced = 64;  // channels of a tap in the masker
    const kernels::Resize2d tap{n, coarse.h, coarse.w, reduced, fine.h, fine.w};
    const double from = number(n * coarse.h * coarse.w * reduced), to = small * reduced;
    const std::string text = str(n, "x", coarse.h, "x", coarse.w, "x", reduced, " -> ", fine.h, "x", fine.w);
    add("resize_bilinear_fwd", text, 1, 8 * to, from + to,
        [=, &a](int i) { kernels::resize_bilinear_fwd(ctx, tap, a.x(i), a.y()); });
    add("resize_bilinear_bwd", text, 1, 8 * to, from + to,
        [=, &a](int i) { kernels::resize_bilinear_bwd(ctx, tap, a.x(i), a.y()); });
  }

  const NetworkShapes& shapes_;
  KernelArena& arena_;
  kernels::Context ctx_;
  bool winograd_;
  std::uint64_t key_ = std::uint64_t{1} << 60;  // beyond the identities of tensors, which are keys too
  std::vector<KernelCase> cases_;
};

}  // namespace

KernelArena::KernelArena(Device device, std::int64_t floats) : device_(device) {
  for (int i = 0; i < sets; ++i) {
    first_.push_back(values(str("kernels.x", i), floats, device));
    second_.push_back(values(str("kernels.other", i), floats, device));
  }
  weights_ = values("kernels.weights", weight_floats, device);
  positive_ = ops::affine(values("kernels.positive", small_each, device), 0.5, 1);
  std::vector<std::uint8_t> gates(static_cast<std::size_t>(kernels::bit_bytes(floats)));
  const std::vector<float> coins = fixed_values("kernels.gates", {floats});
  for (std::size_t i = 0; i < coins.size(); ++i) gates[i / 8] |= static_cast<std::uint8_t>((coins[i] > 0) << i % 8);
  gates_ = Tensor::empty({kernels::bit_bytes(floats)}, DType::u8, Device{});
  std::copy(gates.begin(), gates.end(), gates_.mutable_data<std::uint8_t>());
  gates_ = gates_.to(device);
  y_ = Tensor::empty({std::max(floats, weight_floats)}, DType::f32, device);
  small_ = Tensor::empty({2 * small_each}, DType::f32, device);
  bytes_ = Tensor::empty({floats}, DType::u8, device);
}

std::int64_t largest_activation(const NetworkShapes& shapes) {
  std::int64_t most = shapes.batch * shapes.side * shapes.side * 3;
  for (const NetworkShapes::Conv& c : shapes.convs)
    most = std::max({most, c.d.n * c.d.h * c.d.w * c.d.c, c.d.n * c.d.p * c.d.q * c.d.k});
  for (const NetworkShapes::Pool& p : shapes.pools) most = std::max(most, p.d.n * p.d.h * p.d.w * p.d.c);
  if (!shapes.taps.empty()) most = std::max(most, shapes.batch * shapes.taps[0].h * shapes.taps[0].w * 64);
  return std::max(most, shapes.batch * std::max(shapes.classes, shapes.features));
}

std::vector<KernelCase> kernel_cases(const NetworkShapes& shapes, KernelArena& arena, bool winograd) {
  return Cases(shapes, arena, winograd).all();
}

}  // namespace pen
