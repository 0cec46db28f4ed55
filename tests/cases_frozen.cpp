// Cases of what frozen networks are made of: convolutions with bias, residual, ReLU and gate in one, and the gate
// alone.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

enum class Residual : std::uint8_t { none, separate, in_place };

// A field of n bits, about half of them 1.
std::vector<std::uint8_t> gates(int64_t n) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(bit_bytes(n)));
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
    if (i * 2654435761u % 7 < 4) out[i / 8] |= static_cast<std::uint8_t>(1u << i % 8);
  return out;
}

const char* name_of(Residual r) {
  return r == Residual::none ? "" : r == Residual::separate ? ", residual" : ", residual in place";
}

// What a ReLU or its gate leaves of what is below zero. one_tenth is no number that float32 and float64 agree on.
enum class Act : std::uint8_t { none, relu, leaky };
constexpr double one_tenth = 0.1;
const char* name_of(Act act) { return act == Act::none ? "" : act == Act::relu ? ", ReLU" : ", leaky ReLU"; }
Conv2d with(Act act, Conv2d d) {
  d.relu_slope = act == Act::leaky ? one_tenth : 0;
  return d;
}

void add_forward(Registry& reg, const NamedConv& c, Residual kind, Act act) {
  const Conv2d d = with(act, c.d);
  const bool relu = act != Act::none;
  const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.k, nw = d.k * d.c / d.groups * d.r * d.s;
  reg.add16("conv2d_fused_fwd", str(c.name, name_of(act), name_of(kind)), product, [=](auto& b) -> Call {
    const auto* x = b.in("x", nx);
    const auto* w = b.in("w", nw, -1, 1);
    const auto* shift = relu ? b.in_wide("b", d.k) : nullptr;
    auto* y = kind == Residual::in_place ? b.inout("y", ny) : b.out("y", ny);
    const auto* residual = kind == Residual::none ? nullptr : kind == Residual::in_place ? y : b.in("residual", ny);
    auto* positive = b.optional_bytes("positive", bit_bytes(ny));
    const Conv2d keyed = with_key_of(b.type, d);
    return [=](const Context& ctx) { conv2d_fused_fwd(ctx, keyed, x, w, shift, residual, relu, y, positive); };
  });
}

void add_backward(Registry& reg, const NamedConv& c, Residual kind, Act act) {
  const Conv2d d = with(act, c.d);
  const bool gated = act != Act::none;
  const int64_t nx = d.n * d.h * d.w * d.c, ny = d.n * d.p * d.q * d.k, nw = d.k * d.c / d.groups * d.r * d.s;
  reg.add16("conv2d_fused_bwd_data", str(c.name, gated ? ", gate of" : "", name_of(act), name_of(kind)), product,
            [=](auto& b) -> Call {
              const auto* dy = b.in("dy", ny);
              const auto* w = b.in("w", nw, -1, 1);
              const auto* open = gated ? b.in_bytes("open", gates(nx)) : nullptr;
              auto* dx = kind == Residual::in_place ? b.inout("dx", nx) : b.out("dx", nx);
              const auto* residual = kind == Residual::none       ? nullptr
                                     : kind == Residual::in_place ? dx
                                                                  : b.in("residual", nx);
              const Conv2d keyed = with_key_of(b.type, d);
              return [=](const Context& ctx) { conv2d_fused_bwd_data(ctx, keyed, dy, w, residual, open, dx); };
            });
}

// So many weights that Winograd's algorithm has to be asked for. Once: the plain loops take their time.
void add_large(Registry& reg) {
  Conv2d d{.n = 3, .h = 11, .w = 9, .c = 272, .k = 256, .r = 3, .s = 3, .p = 11, .q = 9, .pad = 1};
  d.winograd = d.winograd_large = true;
  const int64_t pixels = d.n * d.h * d.w;
  reg.add("conv2d_fused_fwd", "3x3 by Winograd, very many weights", product, [=](auto& b) -> Call {
    const auto* x = b.in("x", pixels * d.c);
    const auto* w = b.in("w", d.k * d.c * 9, -1, 1);
    auto* y = b.out("y", pixels * d.k);
    return [=](const Context& ctx) { conv2d_fused_fwd(ctx, d, x, w, nullptr, nullptr, false, y, nullptr); };
  });
}

// The mask's values stand for scale x scale pixels each.
void add_mask(Registry& reg, const NamedConv& c, int64_t scale) {
  const Conv2d d = c.d;
  const int64_t ny = d.n * d.p * d.q * d.k, nw = d.k * d.c * d.r * d.s;
  const std::string name = scale == 1 ? c.name : str(c.name, ", cells of ", scale, "x", scale);
  reg.add16("conv2d_bwd_mask", name, product, [=](auto& b) -> Call {
    const auto* dy_in = b.in("dy_in", ny);
    const auto* dy_out = b.in("dy_out", ny);
    const auto* w = b.in("w", nw, -1, 1);
    const auto* x = b.in_wide("x", d.n * d.h * d.w * d.c);
    auto* dm = b.out_wide("dm", d.n * (d.h / scale) * (d.w / scale));
    const Conv2d keyed = with_key_of(b.type, d);
    return [=](const Context& ctx) { conv2d_bwd_mask(ctx, keyed, scale, dy_in, dy_out, w, x, dm); };
  });
}

}  // namespace

void add_frozen_cases(Registry& reg) {
  for (const NamedConv& c : convolutions())
    for (const Residual kind : {Residual::none, Residual::separate, Residual::in_place})
      for (const Act act : {Act::none, Act::relu, Act::leaky}) {
        add_forward(reg, c, kind, act);
        add_backward(reg, c, kind, act);
      }
  add_large(reg);
  std::vector<NamedConv> firsts = convolutions();
  firsts.push_back(
      {"7x7 stride 2, three bands of rows",
       {.n = 2, .h = 72, .w = 24, .c = 3, .k = 8, .r = 7, .s = 7, .p = 36, .q = 12, .stride = 2, .pad = 3}});
  for (const NamedConv& c : firsts)
    if (c.d.groups == 1)
      for (int64_t scale = 1; scale <= std::max(c.d.h, c.d.w); ++scale)
        if (c.d.h % scale == 0 && c.d.w % scale == 0) add_mask(reg, c, scale);
  for (const int64_t n : {0, 1, 37, 20000, 100003})
    for (const double slope : {0.0, one_tenth})
      for (const bool in_place : {false, true})
        reg.add16("gate", str(n, " slope ", slope, in_place ? ", in place" : ""), elementwise, [=](auto& b) -> Call {
          const auto* open = b.in_bytes("open", gates(n));
          auto* dx = in_place ? b.inout("dx", n) : b.out("dx", n);
          const auto* dy = in_place ? dx : b.in("dy", n);
          return [=](const Context& ctx) { gate(ctx, n, slope, dy, open, dx); };
        });
  for (const int64_t n : {0, 1, 37, 20000, 100003})
    reg.add16("mark_positive", str(n), elementwise, [=](auto& b) -> Call {
      const auto* y = b.in("y", n);
      auto* positive = b.out_bytes("positive", bit_bytes(n));
      return [=](const Context& ctx) { mark_positive(ctx, n, y, positive); };
    });
  // In 16 bit beside the general cases of these kernels.
  reg.add16("sum_middle", "3x49x40, frozen", summed, [=](auto& b) -> Call {
    const auto* x = b.in("x", 3 * 49 * 40);
    auto* y = b.out_wide("y", 3 * 40);
    return [=](const Context& ctx) { sum_middle(ctx, 3, 49, 40, 1.0 / 49, x, y, Accum::write); };
  });
  reg.add16("spread_middle", "3x49x40, frozen", elementwise, [=](auto& b) -> Call {
    const auto* x = b.in_wide("x", 3 * 40);
    auto* y = b.out("y", 3 * 49 * 40);
    return [=](const Context& ctx) { spread_middle(ctx, 3, 49, 40, 1.0 / 49, x, y); };
  });
  reg.add16("add_scaled", "1000, frozen", elementwise, [=](auto& b) -> Call {
    const auto* x = b.in("x", 1000);
    auto* y = b.inout("y", 1000);
    return [=](const Context& ctx) { add_scaled(ctx, 1000, 1.0, x, 1.0, y, y); };
  });
  for (const int64_t n : {0, 1, 37, 20000}) {
    reg.add16("narrow", str(n), exact, [=](auto& b) -> Call {
      const auto* x = b.in_wide("x", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { narrow(ctx, n, x, y); };
    });
    reg.add16("widen", str(n), exact, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* y = b.out_wide("y", n);
      return [=](const Context& ctx) { widen(ctx, n, x, y); };
    });
  }
}

}  // namespace pen::test
