#include "train/optim.h"

#include <limits>

#include "base/json.h"
#include "kernels/kernels.h"

namespace pen {
namespace {

std::vector<Tensor> zeros_like(const std::vector<NamedTensor>& parameters) {
  std::vector<Tensor> out;
  for (const NamedTensor& p : parameters)
    out.push_back(Tensor::zeros(p.tensor.shape(), p.tensor.dtype(), p.tensor.device()));
  return out;
}

const double* pointer(const Tensor& control) { return control.defined() ? control.data<double>() : nullptr; }

}  // namespace

void Optimizer::zero_grad() {
  for (NamedTensor& p : parameters_) p.tensor.clear_grad();
}

Sgd::Sgd(std::vector<NamedTensor> parameters, double rate, double momentum, double weight_decay)
    : Optimizer(std::move(parameters), rate),
      momentum_(momentum),
      decay_(weight_decay),
      velocity_(zeros_like(parameters_)) {}

void Sgd::step(const Tensor& control) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& w = parameters_[i].tensor;
    const Tensor g = w.grad();
    if (!g.defined()) continue;
    dispatch(w.dtype(), "sgd", [&]<class T>() {
      kernels::sgd_step(context(w.device()), w.numel(), lr, momentum_, decay_, steps_ == 0, g.data<T>(),
                        pointer(control), w.mutable_data<T>(), velocity_[i].mutable_data<T>());
    });
  }
  ++steps_;
}

std::string Sgd::group() const {
  JsonWriter json;
  json.begin_object().field("lr", lr).field("momentum", momentum_).field("dampening", 0).field("weight_decay", decay_);
  return json.field("nesterov", false).end_object().text();
}

std::string Adam::group() const {
  JsonWriter json;
  json.begin_object().field("lr", lr).field("betas", std::vector<double>{beta1_, beta2_}).field("eps", eps_);
  return json.field("weight_decay", decay_).field("amsgrad", false).end_object().text();
}

std::vector<NamedTensor> Sgd::state() {
  std::vector<NamedTensor> out;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    out.push_back({parameters_[i].name + ".momentum_buffer", velocity_[i]});
  return out;
}

Adam::Adam(std::vector<NamedTensor> parameters, double rate, double weight_decay, double beta1, double beta2,
           double eps)
    : Optimizer(std::move(parameters), rate),
      decay_(weight_decay),
      beta1_(beta1),
      beta2_(beta2),
      eps_(eps),
      mean_(zeros_like(parameters_)),
      square_(zeros_like(parameters_)) {}

void Adam::step(const Tensor& control) {
  ++steps_;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& w = parameters_[i].tensor;
    const Tensor g = w.grad();
    if (!g.defined()) continue;
    dispatch(w.dtype(), "adam", [&]<class T>() {
      kernels::adam_step(context(w.device()), w.numel(), steps_, lr, beta1_, beta2_, eps_, decay_, g.data<T>(),
                         pointer(control), w.mutable_data<T>(), mean_[i].mutable_data<T>(),
                         square_[i].mutable_data<T>());
    });
  }
}

std::vector<NamedTensor> Adam::state() {
  std::vector<NamedTensor> out;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    out.push_back({parameters_[i].name + ".exp_avg", mean_[i]});
    out.push_back({parameters_[i].name + ".exp_avg_sq", square_[i]});
  }
  return out;
}

Tensor update_control(const std::vector<Tensor>& losses) {
  PEN_CHECK(!losses.empty(), "update_control: no losses");
  Tensor control = Tensor::zeros({kernels::control_size}, DType::f64, losses[0].device());
  kernels::Accum accum = kernels::Accum::write;
  for (const Tensor& loss : losses) {
    dispatch(loss.dtype(), "update_control", [&]<class T>() {
      kernels::update_control(context(loss.device()), loss.numel(), loss.data<T>(),
                              std::numeric_limits<double>::infinity(), control.mutable_data<double>(), accum);
    });
    accum = kernels::Accum::add;
  }
  return control;
}

Tensor clipped(const Tensor& control, const std::vector<NamedTensor>& parameters, double max_norm) {
  Tensor out = control.clone();
  static_assert(kernels::control_squares == 0);
  for (const NamedTensor& p : parameters) {
    const Tensor g = p.tensor.grad();
    if (!g.defined()) continue;
    dispatch(g.dtype(), "clipped", [&]<class T>() {
      kernels::sum_squares(context(g.device()), g.numel(), g.data<T>(), out.mutable_data<double>(),
                           kernels::Accum::add);
    });
  }
  kernels::update_control(context(out.device()), 0, static_cast<const float*>(nullptr), max_norm,
                          out.mutable_data<double>(), kernels::Accum::add);
  return out;
}

Tensor require_finite(const std::vector<Tensor>& gradients, Tensor& control) {
  const kernels::Context ctx = context(control.device());
  Tensor squares = Tensor::zeros({1}, DType::f64, control.device());
  for (const Tensor& g : gradients)
    dispatch(g.dtype(), "require_finite", [&]<class T>() {
      kernels::sum_squares(ctx, g.numel(), g.data<T>(), squares.mutable_data<double>(), kernels::Accum::add);
    });
  kernels::update_control(ctx, 1, std::as_const(squares).data<double>(), std::numeric_limits<double>::infinity(),
                          control.mutable_data<double>(), kernels::Accum::add);
  return squares;
}

std::vector<Tensor> gradients_of(const std::vector<NamedTensor>& parameters) {
  std::vector<Tensor> out;
  for (const NamedTensor& p : parameters)
    if (Tensor g = p.tensor.grad(); g.defined()) out.push_back(std::move(g));
  return out;
}

Tensor rescaled(const Tensor& control, double factor) {
  Tensor out = control.clone();
  double* const scale = out.mutable_data<double>() + kernels::control_scale;
  kernels::affine(context(out.device()), 1, factor, 0.0, scale, scale);
  return out;
}

}  // namespace pen
