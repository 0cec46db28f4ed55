// Cases of the elementwise kernels: no, one, few and odd numbers of elements, and enough for several threads and
// blocks.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

const int64_t sizes[] = {0, 1, 37, 70001};

// y = f(x)
template <class F>
void unary(Registry& reg, const char* name, Tolerance tolerance, F launch, double low = -2, double high = 2) {
  for (const int64_t n : sizes)
    reg.add(name, str(n), tolerance, [=](auto& b) -> Call {
      const auto* x = b.in("x", n, low, high);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { launch(ctx, n, x, y); };
    });
}

// dx = f(x or y, dy)
template <class F>
void unary_backward(Registry& reg, const char* name, const char* saved, F launch, double low = -2, double high = 2) {
  for (const int64_t n : sizes)
    reg.add(name, str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in(saved, n, low, high);
      const auto* dy = b.in("dy", n);
      auto* dx = b.out("dx", n);
      return [=](const Context& ctx) { launch(ctx, n, x, dy, dx); };
    });
}

// f(launch) where the kernel's name is both the case's and the function's.
#define PEN_UNARY(name) \
#name, elementwise, [](const Context& c, int64_t n, const auto* x, auto* y) { name(c, n, x, y); }
#define PEN_BACKWARD(name, saved) \
#name, saved, [](const Context& c, int64_t n, const auto* x, const auto* dy, auto* dx) { name(c, n, x, dy, dx); }

void add_activations(Registry& reg) {
  unary(reg, PEN_UNARY(relu_fwd));
  unary(reg, PEN_UNARY(elu_fwd));
  unary(reg, PEN_UNARY(sigmoid_fwd), -90, 90);
  unary(reg, PEN_UNARY(tanh_fwd));
  unary(reg, PEN_UNARY(abs_fwd));
  unary(reg, PEN_UNARY(square_fwd));
  unary(reg, PEN_UNARY(reciprocal_fwd), 0.5, 3);
  unary(reg, PEN_UNARY(copy));
  unary_backward(reg, PEN_BACKWARD(elu_bwd, "y"), -0.9, 2);
  unary_backward(reg, PEN_BACKWARD(sigmoid_bwd, "y"), 0, 1);
  unary_backward(reg, PEN_BACKWARD(tanh_bwd, "y"), -1, 1);
  unary_backward(reg, PEN_BACKWARD(abs_bwd, "x"));
  unary_backward(reg, PEN_BACKWARD(square_bwd, "x"));
  unary_backward(reg, PEN_BACKWARD(reciprocal_bwd, "y"));
  for (const int64_t n : sizes) {
    reg.add16("leaky_relu_fwd", str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      auto* y = b.out("y", n);
      return [=](const Context& c) { leaky_relu_fwd(c, n, 0.2, x, y); };
    });
    reg.add16("leaky_relu_bwd", str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      const auto* dy = b.in("dy", n);
      auto* dx = b.out("dx", n);
      return [=](const Context& c) { leaky_relu_bwd(c, n, 0.2, x, dy, dx); };
    });
  }
  unary(reg, "step_at", exact, [](const Context& c, int64_t n, const auto* x, auto* y) { step_at(c, n, 0.3, x, y); });
  for (const ReluRule rule : {ReluRule::standard, ReluRule::guided, ReluRule::deconvnet})
    for (const int64_t n : sizes)
      reg.add_in_place("relu_bwd", str("rule ", static_cast<int>(rule), " ", n), exact,
                       [=](auto& b, bool place) -> Call {
                         const auto* x = b.in("x", n);
                         const auto* y = b.in("y", n);
                         auto* dx = place ? b.inout("dy", n) : nullptr;
                         const auto* dy = place ? dx : b.in("dy", n);
                         if (!place) dx = b.out("dx", n);
                         return [=](const Context& ctx) { relu_bwd(ctx, n, rule, x, y, dy, dx); };
                       });
}

void add_arithmetic(Registry& reg) {
  for (const int64_t n : sizes) {
    reg.add("fill", str(n), exact, [=](auto& b) -> Call {
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { fill(ctx, n, 1.7, y); };
    });
    reg.add_in_place("affine", str(n), elementwise, [=](auto& b, bool place) -> Call {
      auto* y = place ? b.inout("x", n) : nullptr;
      const auto* x = place ? y : b.in("x", n);
      if (!place) y = b.out("y", n);
      return [=](const Context& ctx) { affine(ctx, n, 1.3, -0.4, x, y); };
    });
    reg.add_in_place("add_scaled", str(n), elementwise, [=](auto& b, bool place) -> Call {
      auto* y = place ? b.inout("x", n) : nullptr;
      const auto* x = place ? y : b.in("x", n);
      const auto* other = b.in("x2", n);
      if (!place) y = b.out("y", n);
      return [=](const Context& ctx) { add_scaled(ctx, n, 1.3, x, -0.4, other, y); };
    });
    reg.add_in_place("add_scaled", str(n, ", second operand"), elementwise, [=](auto& b, bool place) -> Call {
      auto* y = place ? b.inout("x2", n) : nullptr;
      const auto* x = b.in("x", n);
      const auto* other = place ? y : b.in("x2", n);
      if (!place) y = b.out("y", n);
      return [=](const Context& ctx) { add_scaled(ctx, n, 1.3, x, -0.4, other, y); };
    });
    reg.add("mul", str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      const auto* other = b.in("x2", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { mul(ctx, n, x, other, y); };
    });
    reg.add("add_relu", str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      const auto* other = b.in("x2", n);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { add_relu(ctx, n, x, other, y); };
    });
    reg.add("scale_by", str(n), elementwise, [=](auto& b) -> Call {
      const auto* x = b.in("x", n);
      const auto* s = b.in("s", 1, 0.5, 1.5);
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { scale_by(ctx, n, x, s, y); };
    });
    // The draws start in the middle of a Philox block of four.
    reg.add("logistic_noise", str(n), elementwise, [=](auto& b) -> Call {
      auto* y = b.out("y", n);
      return [=](const Context& ctx) { logistic_noise(ctx, n, 5, 3, 7, y); };
    });
  }
}

}  // namespace

void add_pointwise_cases(Registry& r) {
  add_activations(r);
  add_arithmetic(r);
}

}  // namespace pen::test
