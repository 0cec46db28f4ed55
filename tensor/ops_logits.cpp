#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

void check_logits(const char* op, const Tensor& x) {
  check_dims(op, "logits", x, 2);
  PEN_CHECK(x.size(1) > 0, op, ": logits of no classes");
}

void check_labels(const char* op, const Tensor& logits, const Tensor& labels) {
  PEN_CHECK(labels.shape() == Shape{logits.size(0)} && labels.dtype() == DType::i64, op, ": labels ",
            to_string(labels.shape()), " ", name_of(labels.dtype()), " for logits ", to_string(logits.shape()));
  if (labels.device().is_cuda()) return;  // looking at them would wait for the device: see ops.h
  for (const std::int64_t label : labels.to_vector<std::int64_t>())
    PEN_CHECK(label >= 0 && label < logits.size(1), op, ": label ", label, " is not among ", logits.size(1),
              " classes");
}

// forward(ctx, rows, classes, x, y); backward(ctx, rows, classes, saved, dy, dx) with saved the result or the logits
template <class Forward, class Derivative>
Tensor rows_op(const char* op, const Tensor& x, Shape shape, bool reads_result, Forward forward,
               Derivative derivative) {
  check_logits(op, x);
  const std::int64_t rows = x.size(0), classes = x.size(1);
  Tensor y = empty_with(x, std::move(shape));
  dispatch(x.dtype(), op,
           [&]<class T>() { forward(context(x.device()), rows, classes, x.data<T>(), y.mutable_data<T>()); });
  if (!needs_grad({&x})) return y;
  record(op, y, {x}, [rows, classes, derivative, saved = Saved(reads_result ? y : x)](Backward& call) {
    const Tensor kept = saved.get(call.operation());
    Tensor dx = empty_with(call.dy(), {rows, classes});
    dispatch(dx.dtype(), call.operation(), [&]<class T>() {
      derivative(context(dx.device()), rows, classes, kept.data<T>(), std::as_const(call.dy()).data<T>(),
                 dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) {
  return rows_op(
      "softmax", x, x.shape(), true, [](auto&&... a) { kernels::softmax_fwd(a...); },
      [](auto&&... a) { kernels::softmax_bwd(a...); });
}

Tensor log_softmax(const Tensor& x) {
  return rows_op(
      "log_softmax", x, x.shape(), true, [](auto&&... a) { kernels::log_softmax_fwd(a...); },
      [](auto&&... a) { kernels::log_softmax_bwd(a...); });
}

Tensor entropy(const Tensor& x) {
  return rows_op(
      "entropy", x, {x.size(0)}, false, [](auto&&... a) { kernels::entropy_fwd(a...); },
      [](auto&&... a) { kernels::entropy_bwd(a...); });
}

Tensor cross_entropy(const Tensor& x, const Tensor& labels, double smoothing) {
  check_logits("cross_entropy", x);
  check_labels("cross_entropy", x, labels);
  PEN_CHECK(smoothing >= 0 && smoothing < 1, "cross_entropy: label smoothing ", smoothing, " is not in [0, 1)");
  const Tensor ids = labels.to(x.device());
  const Saved saved_ids(ids);
  return rows_op(
      "cross_entropy", x, {x.size(0)}, false,
      [&](const kernels::Context& ctx, std::int64_t rows, std::int64_t n, const auto* in, auto* out) {
        kernels::cross_entropy_fwd(ctx, rows, n, smoothing, in, ids.data<std::int64_t>(), out);
      },
      [smoothing, saved_ids](const kernels::Context& ctx, std::int64_t rows, std::int64_t n, const auto* in,
                             const auto* dy, auto* dx) {
        const Tensor kept = saved_ids.get("cross_entropy");
        kernels::cross_entropy_bwd(ctx, rows, n, smoothing, in, kept.data<std::int64_t>(), dy, dx);
      });
}

Tensor prior_divergence(const Tensor& x, const Tensor& prior, bool backward) {
  check_logits("prior_divergence", x);
  PEN_CHECK(prior.shape() == Shape{x.size(1)} && prior.dtype() == x.dtype(), "prior_divergence: prior ",
            to_string(prior.shape()), " for logits ", to_string(x.shape()));
  return rows_op(
      "prior_divergence", x, {x.size(0)}, false,
      [&]<class T>(const kernels::Context& ctx, std::int64_t rows, std::int64_t n, const T* in, T* out) {
        kernels::prior_divergence_fwd(ctx, rows, n, backward, in, prior.data<T>(), out);
      },
      [backward, saved = Saved(prior)]<class T>(const kernels::Context& ctx, std::int64_t rows, std::int64_t n,
                                                const T* in, const T* dy, T* dx) {
        const Tensor kept = saved.get("prior_divergence");
        kernels::prior_divergence_bwd(ctx, rows, n, backward, in, kept.data<T>(), dy, dx);
      });
}

Tensor argmax_ids(const Tensor& x) {
  check_logits("argmax", x);
  Tensor best = Tensor::empty({x.size(0)}, DType::i64, x.device());
  dispatch(x.dtype(), "argmax", [&]<class T>() {
    kernels::argmax_rows(context(x.device()), x.size(0), x.size(1), x.data<T>(), best.mutable_data<std::int64_t>());
  });
  return best;
}

std::vector<std::int64_t> argmax(const Tensor& x) { return argmax_ids(x).to_vector<std::int64_t>(); }

Tensor largest_excess(const Tensor& q, const Tensor& prior, bool divide) {
  check_logits("largest_excess", q);
  PEN_CHECK(prior.shape() == Shape{q.size(1)} && prior.device() == q.device(), "largest_excess: prior ",
            to_string(prior.shape()), " for probabilities ", to_string(q.shape()));
  Tensor best = Tensor::empty({q.size(0)}, DType::i64, q.device());
  dispatch(q.dtype(), "largest_excess", [&]<class T>() {
    kernels::largest_excess(context(q.device()), q.size(0), q.size(1), divide, q.data<T>(), prior.data<double>(),
                            best.mutable_data<std::int64_t>());
  });
  return best;
}

Tensor equal_ids(const Tensor& a, const Tensor& b, const Tensor& like) {
  PEN_CHECK(a.shape() == b.shape() && a.shape().size() == 1, "equal_ids: ", to_string(a.shape()), " and ",
            to_string(b.shape()));
  PEN_CHECK(a.device() == like.device() && b.device() == like.device(), "equal_ids: on ", name_of(a.device()), " and ",
            name_of(b.device()), ", expected ", name_of(like.device()));
  Tensor y = empty_with(like, a.shape());
  dispatch(like.dtype(), "equal_ids", [&]<class T>() {
    kernels::equal_ids(context(like.device()), a.numel(), a.data<std::int64_t>(), b.data<std::int64_t>(),
                       y.mutable_data<T>());
  });
  return y;
}

}  // namespace pen::ops
