// Cases of norm in evaluation and of the optimisers.
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

// The last one is long enough for reductions in two stages.
const Rows shapes[] = {{0, 5}, {1, 1}, {7, 5}, {35, 130}, {9001, 3}, {40001, 2}, {70001, 1}};

void add_norm_eval(Registry& reg) {
  for (const int64_t c : {int64_t{1}, int64_t{5}, int64_t{2049}})
    reg.add("norm_fold", str(c), elementwise, [=](auto& b) -> Call {
      const auto* mean = b.in("mean", c);
      const auto* var = b.in("var", c, 0.1, 2);
      const auto* gamma = b.in("gamma", c, 0.5, 2);
      const auto* beta = b.in("beta", c);
      auto* scale = b.out("scale", c);
      auto* shift = b.out("shift", c);
      return [=](const Context& ctx) { norm_fold(ctx, c, 1e-5, mean, var, gamma, beta, scale, shift); };
    });
  for (const Rows d : shapes) {
    const int64_t n = d.rows * d.c;
    for (const bool relu : {false, true}) {
      const std::string shape = str(d.rows, "x", d.c, relu ? " relu" : "");
      reg.add_in_place16("norm_eval_fwd", shape, elementwise, [=](auto& b, bool place) -> Call {
        auto* y = place ? b.inout("x", n) : nullptr;
        const auto* x = place ? y : b.in("x", n);
        const auto* scale = b.in_wide("scale", d.c);
        const auto* shift = b.in_wide("shift", d.c);
        const decltype(x) none = nullptr;
        if (!place) y = b.out("y", n);
        return [=](const Context& ctx) { norm_eval_fwd(ctx, d, x, scale, shift, none, relu, y); };
      });
      reg.add_in_place16("norm_eval_fwd", shape + " residual", elementwise, [=](auto& b, bool place) -> Call {
        const auto* x = b.in("x", n);
        const auto* scale = b.in_wide("scale", d.c);
        const auto* shift = b.in_wide("shift", d.c);
        auto* y = place ? b.inout("residual", n) : nullptr;
        const auto* residual = place ? y : b.in("residual", n);
        if (!place) y = b.out("y", n);
        return [=](const Context& ctx) { norm_eval_fwd(ctx, d, x, scale, shift, residual, relu, y); };
      });
      reg.add16("norm_eval_bwd", shape, elementwise, [=](auto& b) -> Call {
        const auto* dy = b.in("dy", n);
        const auto* y = b.in("y", n);
        const auto* scale = b.in_wide("scale", d.c);
        auto* dx = b.optional("dx", n);
        auto* dresidual = b.optional("dresidual", n);
        return [=](const Context& ctx) { norm_eval_bwd(ctx, d, dy, y, scale, relu, dx, dresidual); };
      });
      reg.add16("norm_eval_bwd", shape + " in place", elementwise,
                [=](auto& b) -> Call {
                  auto* dx = b.inout("dy", n);
                  const auto* y = b.in("y", n);
                  const auto* scale = b.in_wide("scale", d.c);
                  auto* dresidual = b.out("dresidual", n);
                  return [=](const Context& ctx) { norm_eval_bwd(ctx, d, dx, y, scale, relu, dx, dresidual); };
                })
          .equal_bits_with = "norm_eval_bwd " + shape;
      reg.add_both16("norm_eval_bwd_param", shape, summed, [=](auto& b, Accum accum) -> Call {
        const auto* x = b.in("x", n);
        const auto* dy = b.in("dy", n);
        const auto* y = b.in("y", n);
        const auto* mean = b.in_wide("mean", d.c);
        const auto* var = b.in_wide("var", d.c, 0.1, 2);
        auto* dgamma = b.optional_accumulated_wide("dgamma", d.c, accum);
        if (d.rows == 0) b.zeros_are_right();
        auto* dbeta = b.optional_accumulated_wide("dbeta", d.c, accum);
        if (d.rows == 0) b.zeros_are_right();
        return [=](const Context& ctx) {
          norm_eval_bwd_param(ctx, d, 1e-5, x, dy, y, mean, var, relu, dgamma, dbeta, accum);
        };
      });
    }
  }
  for (const Rows d : {Rows{1, 5}, Rows{7, 3}, Rows{1000, 2049}})
    reg.add("norm_running", str(d.rows, "x", d.c), elementwise, [=](auto& b) -> Call {
      const auto* mean = b.in("mean", d.c);
      const auto* var = b.in("var", d.c, 0.1, 2);
      auto* running_mean = b.inout("running_mean", d.c);
      auto* running_var = b.inout("running_var", d.c, 0.1, 2);
      return [=](const Context& ctx) { norm_running(ctx, d, 0.1, mean, var, running_mean, running_var); };
    });
}

// What the control of an update says; unasked: there is none.
enum class Go { unasked, yes, no };
const char* name_of(Go go) { return go == Go::unasked ? "" : go == Go::yes ? " controlled" : " stopped"; }
template <class B>
const double* control_of(B& b, Go go) {
  if (go == Go::unasked) return nullptr;
  return b.in_f64("control", {49.0, 0.7, go == Go::yes ? 1.0 : 0.0});
}

void add_optimisers(Registry& reg) {
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{37}, int64_t{70001}}) {
    reg.add_both("sum_squares", str(n), summed, [=](auto& b, Accum accum) -> Call {
      const auto* x = b.in("x", n);
      double* y = b.accumulated_f64("y", 1, accum);
      return [=](const Context& ctx) { sum_squares(ctx, n, x, y, accum); };
    });
    for (const bool first : {false, true})
      for (const Go go : {Go::unasked, Go::yes, Go::no})
        reg.add("sgd_step", str(n, first ? " first" : "", name_of(go)), elementwise, [=](auto& b) -> Call {
          const auto* g = b.in("g", n);
          const double* control = control_of(b, go);
          auto* w = b.inout("w", n);
          auto* velocity = b.inout("velocity", n);
          return [=](const Context& ctx) { sgd_step(ctx, n, 0.1, 0.9, 1e-2, first, g, control, w, velocity); };
        });
    for (const int64_t step : {int64_t{1}, int64_t{250}})
      for (const Go go : {Go::unasked, Go::yes, Go::no})
        reg.add("adam_step", str(n, " step ", step, name_of(go)), elementwise, [=](auto& b) -> Call {
          const auto* g = b.in("g", n);
          const double* control = control_of(b, go);
          auto* w = b.inout("w", n);
          auto* m = b.inout("m", n, -0.1, 0.1);
          auto* v = b.inout("v", n, 0.001, 0.1);
          return
              [=](const Context& ctx) { adam_step(ctx, n, step, 1e-2, 0.9, 0.999, 1e-8, 1e-2, g, control, w, m, v); };
        });
  }
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{7}})
    for (const double max_norm : {0.5, 1e9})
      for (const double before : {0.0, 1.0})
        for (const Accum accum : {Accum::write, Accum::add})
          reg.add("update_control", str(n, " norm ", max_norm, " from ", before, accum == Accum::add ? " kept" : ""),
                  exact, [=](auto& b) -> Call {
                    const auto* x = b.in("x", n);
                    double* control = b.state_f64("control", {4.0, 0.25, before});
                    return [=](const Context& ctx) { update_control(ctx, n, x, max_norm, control, accum); };
                  });
}

}  // namespace

void add_norm_cases(Registry& r) {
  add_norm_eval(r);
  add_optimisers(r);
}

}  // namespace pen::test
