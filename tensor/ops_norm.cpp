// Batch norm, with the residual addition and ReLU that follow it in a residual network.
#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

kernels::Rows check(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& var,
                    const Tensor& residual) {
  PEN_CHECK(x.shape().size() >= 2, "batch_norm: x has shape ", to_string(x.shape()));
  const std::int64_t c = x.size(-1);
  for (const Tensor* t : {&gamma, &beta, &mean, &var})
    PEN_CHECK(t->shape() == Shape{c} && t->dtype() == wide_of_type(x.dtype()) && t->device() == x.device(),
              "batch_norm: a parameter has ", to_string(t->shape()), " ", name_of(t->dtype()), ", x has ", c,
              " channels of ", name_of(x.dtype()));
  if (residual.defined()) check_same("batch_norm: x and residual", x, residual);
  return {rows_of(x), c};
}

Tensor training(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean, Tensor& running_var,
                const NormOptions& o, const Tensor& residual, const kernels::Rows& d) {
  PEN_CHECK(d.rows > 1, "batch_norm: training needs more than one value per channel, x has shape ",
            to_string(x.shape()));
  Tensor y = empty_like(x), mean = empty_with(gamma, {d.c}), var = empty_with(gamma, {d.c});
  dispatch16(x.dtype(), "batch_norm", [&]<class T>() {
    using W = wide_t<T>;
    const kernels::Context ctx = context(x.device());
    kernels::batch_norm_fwd(ctx, d, o.eps, x.data<T>(), residual.defined() ? residual.data<T>() : nullptr,
                            gamma.data<W>(), beta.data<W>(), o.relu, y.mutable_data<T>(), mean.mutable_data<W>(),
                            var.mutable_data<W>());
    kernels::norm_running(ctx, d, o.momentum, std::as_const(mean).data<W>(), std::as_const(var).data<W>(),
                          running_mean.mutable_data<W>(), running_var.mutable_data<W>());
  });
  if (!needs_grad({&x, &gamma, &beta, &residual})) return y;
  record("batch_norm", y, {x, gamma, beta, residual},
         [d, eps = o.eps, relu = o.relu, sx = Saved(x), sg = Saved(gamma), sm = Saved(mean), sv = Saved(var),
          sy = Saved(o.relu ? y : Tensor())](Backward& call) {
           const char* op = "batch_norm";
           const Tensor saved_x = sx.get(op), saved_gamma = sg.get(op), saved_mean = sm.get(op), saved_var = sv.get(op);
           const Tensor saved_y = sy.get(op);
           Tensor& dy = call.dy();
           // Without a ReLU dy itself is the residual's gradient.
           Tensor dresidual = relu && call.wants(3) ? reuse(dy) : Tensor();
           Tensor dx = !call.wants(0) ? Tensor() : call.wants(3) ? empty_like(dy) : reuse(dy);
           // Written to memory of their own: each of the two may have a gradient already, or not be wanted.
           Tensor dgamma = call.wants(1) ? empty_with(saved_gamma, {d.c}) : Tensor();
           Tensor dbeta = call.wants(2) ? empty_with(saved_gamma, {d.c}) : Tensor();
           dispatch16(dy.dtype(), op, [&]<class T>() {
             using W = wide_t<T>;
             const auto out = [](Tensor& t) { return t.defined() ? t.mutable_data<T>() : nullptr; };
             const auto wide_out = [](Tensor& t) { return t.defined() ? t.mutable_data<W>() : nullptr; };
             kernels::batch_norm_bwd(context(dy.device()), d, eps, saved_x.data<T>(), std::as_const(dy).data<T>(),
                                     saved_y.defined() ? saved_y.data<T>() : nullptr, saved_gamma.data<W>(),
                                     saved_mean.data<W>(), saved_var.data<W>(), out(dx), out(dresidual),
                                     wide_out(dgamma), wide_out(dbeta), kernels::Accum::write);
           });
           if (dgamma.defined()) call.set(1, std::move(dgamma));
           if (dbeta.defined()) call.set(2, std::move(dbeta));
           if (call.wants(3)) call.set(3, relu ? std::move(dresidual) : dy);
           if (dx.defined()) call.set(0, std::move(dx));
         });
  return y;
}

Tensor evaluation(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                  const Tensor& running_var, const NormOptions& o, const Tensor& residual, const kernels::Rows& d) {
  Tensor y = empty_like(x), scale = empty_with(gamma, {d.c}), shift = empty_with(gamma, {d.c});
  dispatch16(x.dtype(), "batch_norm", [&]<class T>() {
    using W = wide_t<T>;
    const kernels::Context ctx = context(x.device());
    kernels::norm_fold(ctx, d.c, o.eps, running_mean.data<W>(), running_var.data<W>(), gamma.data<W>(), beta.data<W>(),
                       scale.mutable_data<W>(), shift.mutable_data<W>());
    kernels::norm_eval_fwd(ctx, d, x.data<T>(), std::as_const(scale).data<W>(), std::as_const(shift).data<W>(),
                           residual.defined() ? residual.data<T>() : nullptr, o.relu, y.mutable_data<T>());
  });
  if (!needs_grad({&x, &gamma, &beta, &residual})) return y;
  const bool parameters = gamma.requires_grad() || beta.requires_grad();
  record("batch_norm", y, {x, gamma, beta, residual},
         [d, eps = o.eps, relu = o.relu, scale, sy = Saved(o.relu ? y : Tensor()),
          sx = Saved(parameters ? x : Tensor()), sm = Saved(parameters ? running_mean : Tensor()),
          sv = Saved(parameters ? running_var : Tensor())](Backward& call) {
           const char* op = "batch_norm";
           const Tensor saved_y = sy.get(op);
           Tensor& dy = call.dy();
           dispatch16(dy.dtype(), op, [&]<class T>() {
             using W = wide_t<T>;
             const kernels::Context ctx = context(dy.device());
             const T* result = saved_y.defined() ? saved_y.data<T>() : nullptr;
             for (const std::size_t parameter : {std::size_t{1}, std::size_t{2}}) {
               if (!call.wants(parameter)) continue;
               const Tensor saved_x = sx.get(op), mean = sm.get(op), var = sv.get(op);
               auto wanted = call.target(parameter, {d.c});
               Tensor& target = wanted.tensor;
               const kernels::Accum accum = wanted.accum;
               W* to = target.template mutable_data<W>();
               kernels::norm_eval_bwd_param(ctx, d, eps, saved_x.data<T>(), std::as_const(dy).data<T>(), result,
                                            mean.data<W>(), var.data<W>(), relu, parameter == 1 ? to : nullptr,
                                            parameter == 2 ? to : nullptr, accum);
             }
             Tensor dresidual = call.wants(3) ? empty_like(dy) : Tensor();
             Tensor dx = call.wants(0) ? reuse(dy) : Tensor();
             const T* from = std::as_const(dy).data<T>();
             kernels::norm_eval_bwd(ctx, d, from, result, scale.data<W>(), relu,
                                    dx.defined() ? dx.mutable_data<T>() : nullptr,
                                    dresidual.defined() ? dresidual.mutable_data<T>() : nullptr);
             if (dx.defined()) call.set(0, std::move(dx));
             if (dresidual.defined()) call.set(3, std::move(dresidual));
           });
         });
  return y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor running_mean, Tensor running_var,
                  const NormOptions& options, const Tensor& residual) {
  const kernels::Rows d = check(x, gamma, beta, running_mean, running_var, residual);
  NormOptions o = options;
  // A changed ReLU rule needs the ReLU's own input: it runs as an operation of its own.
  const bool apart = o.relu && relu_rule() != kernels::ReluRule::standard;
  if (apart) o.relu = false;
  Tensor y = o.training ? training(x, gamma, beta, running_mean, running_var, o, residual, d)
                        : evaluation(x, gamma, beta, running_mean, running_var, o, residual, d);
  return apart ? relu(y) : y;
}

}  // namespace pen::ops
