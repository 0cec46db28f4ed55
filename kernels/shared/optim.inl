// Optimiser updates, with PyTorch's order of operations.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void sum_squares(const Context& ctx, index_t n, const real* x, double* y, Accum accum) {
  Exec(ctx).reduce(
      1, n, [=] PEN_HD(index_t, index_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); },
      [=] PEN_HD(index_t, double sum) { store(y, 0, sum, accum); });
}

// What an update goes by; see UpdateControl.
template <class real>
struct Told {
  bool go;
  real scale;
};
template <class real>
PEN_HD inline Told<real> told_by(const double* control) {
  if (!control) return {true, real(1)};
  return {control[control_go] != 0, static_cast<real>(control[control_scale])};
}

template <class Exec, class real>
void sgd_step(const Context& ctx, index_t n, double lr, double momentum, double decay, bool first, const real* g,
              const double* control, real* w, real* velocity) {
  const real l = static_cast<real>(lr), m = static_cast<real>(momentum), d = static_cast<real>(decay);
  const auto ask = [=] PEN_HD() { return told_by<real>(control); };
  Exec(ctx).map_told(n, ask, [=] PEN_HD(index_t i, const Told<real>& told) {
    if (!told.go) return;
    // Not clipped, the sum below is to round once where there are fused multiply-adds: g is no product then.
    const real grad = told.scale == real(1) ? g[i] : told.scale * g[i];
    // The first step does not read the velocity: it may never have been set.
    const real v = first ? grad + d * w[i] : m * velocity[i] + (grad + d * w[i]);
    velocity[i] = v;
    w[i] -= l * v;
  });
}

template <class Exec, class real>
void adam_step(const Context& ctx, index_t n, std::int64_t step, double lr, double beta1, double beta2, double eps,
               double decay, const real* g, const double* control, real* w, real* m, real* v) {
  const real b1 = static_cast<real>(beta1), b2 = static_cast<real>(beta2), d = static_cast<real>(decay);
  const real c1 = static_cast<real>(1 - beta1), c2 = static_cast<real>(1 - beta2);
  const real rate = static_cast<real>(lr / (1 - std::pow(beta1, static_cast<double>(step))));
  const real root = static_cast<real>(std::sqrt(1 - std::pow(beta2, static_cast<double>(step))));
  const real e = static_cast<real>(eps);
  const auto ask = [=] PEN_HD() { return told_by<real>(control); };
  Exec(ctx).map_told(n, ask, [=] PEN_HD(index_t i, const Told<real>& told) {
    if (!told.go) return;
    const real grad = told.scale * g[i] + d * w[i];
    m[i] = b1 * m[i] + c1 * grad;
    v[i] = b2 * v[i] + c2 * grad * grad;
    w[i] -= rate * m[i] / (std::sqrt(v[i]) / root + e);
  });
}

template <class Exec, class real>
void update_control(const Context& ctx, index_t n, const real* x, double max_norm, double* control, Accum accum) {
  Exec(ctx).map(1, [=] PEN_HD(index_t) {
    bool go = accum == Accum::write || control[control_go] != 0;
    for (index_t i = 0; i < n; ++i) go = go && x[i] - x[i] == real(0);  // neither infinite nor NaN
    control[control_go] = go ? 1 : 0;
    const double scale = max_norm / (std::sqrt(control[control_squares]) + 1e-6);
    control[control_scale] = scale < 1.0 ? scale : 1.0;
  });
}

}  // namespace pen::kernels::shared
