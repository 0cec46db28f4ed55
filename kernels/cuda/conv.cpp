// Convolutions on cuDNN: plans of conv_plan.h for float and 16 bit (whose products and sums are float32), our own
// kernels for double and for what cuDNN has no engine for.
#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/named.h"
#include "kernels/cuda/own.h"
#include "kernels/cuda/status.h"
#include "kernels/kernels.h"
#include "kernels/shared/fold.inl"

namespace pen::kernels::cuda {
namespace {

template <class T>
constexpr bool is_narrow = !std::is_same_v<T, wide_t<T>>;

// The memory of one call. Weights (and their gradient) as K,R,S,C. residual may be `out`.
template <class T>
struct Buffers {
  const T *x = nullptr, *w = nullptr, *y = nullptr, *residual = nullptr;  // y: dy
  const wide_t<T>* bias = nullptr;
  const std::uint8_t* open = nullptr;
  T* out = nullptr;
  std::uint8_t* positive = nullptr;
};

std::int64_t elements_of(const ConvSpec& spec, Role role) {
  const Conv2d& d = spec.d;
  if (role == Role::residual) role = spec.kind == ConvKind::forward ? Role::y : Role::x;
  switch (role) {
    case Role::x:
      return d.n * d.h * d.w * d.c;
    case Role::w:
      return d.k * d.c / d.groups * d.r * d.s;
    case Role::bias:
      return d.k;
    default:
      return d.n * d.p * d.q * d.k;
  }
}

Role output_of(ConvKind kind) {
  return kind == ConvKind::forward ? Role::y : kind == ConvKind::data ? Role::x : Role::w;
}

// The plan, with what it leaves to us. In 16 bit a plan without bias and residual in it rounds its sums before they are
// added: one rounding more.
template <class T>
void execute(Libraries& libraries, const Context& ctx, const ConvSpec& spec, const ConvPlan& plan,
             const Buffers<T>& b) {
  const std::int64_t n = elements_of(spec, output_of(spec.kind));
  const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(T);
  const bool in_place = spec.residual && b.residual == b.out;
  Pointers pointers{};
  const auto set = [&](Role role, const void* memory) { pointers.at(static_cast<std::size_t>(role)) = memory; };
  set(Role::x, b.x);
  set(Role::w, b.w);
  set(Role::y, b.y);
  set(Role::bias, b.bias);
  // Fused, cuDNN's engines for 16 bit read a bias of 16 bit too.
  std::optional<Temporary> narrow_bias;
  if constexpr (is_narrow<T>)
    if (plan.fused() && spec.bias) {
      T* const narrowed =
          narrow_bias.emplace(static_cast<std::size_t>(spec.d.k) * sizeof(T), libraries.stream()).template as<T>();
      cuda::narrow(ctx, spec.d.k, b.bias, narrowed);
      set(Role::bias, narrowed);
    }
  // cuDNN does not promise to read a residual before it writes the same place: it gets a copy.
  std::optional<Temporary> aside;
  if (in_place) aside.emplace(bytes, libraries.stream());
  if (plan.fused()) {
    if (in_place)
      PEN_CUDA(cudaMemcpyAsync(aside->as<T>(), b.residual, bytes, cudaMemcpyDeviceToDevice, libraries.stream()));
    set(Role::residual, in_place ? aside->as<T>() : b.residual);
    set(output_of(spec.kind), b.out);
    plan.run(libraries, pointers);
    if (spec.marks) cuda::mark_positive(ctx, n, b.out, b.positive);
    if (spec.gate) own::add_and_gate<T, T>(ctx, n, spec.d.relu_slope, b.out, nullptr, b.open, b.out);
    return;
  }
  T* const sums = in_place ? aside->as<T>() : b.out;
  set(output_of(spec.kind), sums);
  plan.run(libraries, pointers);
  if (spec.kind == ConvKind::forward && (spec.fusible() || spec.marks))
    own::conv_epilogue<T, T>(ctx, n / spec.d.k, spec.d.k, spec.d.relu_slope, sums, b.bias, b.residual, spec.relu, b.out,
                             b.positive);
  if (spec.kind == ConvKind::data && (spec.residual || spec.gate))
    own::add_and_gate<T, T>(ctx, n, spec.d.relu_slope, sums, b.residual, b.open, b.out);
}

// Memory for trying plans: never zeros, which would make products cheap.
template <class T>
class TrialBuffers {
 public:
  TrialBuffers(const ConvSpec& spec, cudaStream_t stream) : stream_(stream) {
    const auto values = [&](Role role) { return numbers<T>(elements_of(spec, role)); };
    const Role out = output_of(spec.kind);
    buffers.x = values(Role::x);
    buffers.w = values(Role::w);
    buffers.y = values(Role::y);
    if (spec.bias) buffers.bias = numbers<wide_t<T>>(elements_of(spec, Role::bias));
    if (spec.residual) buffers.residual = values(Role::residual);
    if (spec.gate) buffers.open = static_cast<std::uint8_t*>(block(bit_bytes(elements_of(spec, out)), 0x5a));
    if (spec.marks) buffers.positive = static_cast<std::uint8_t*>(block(bit_bytes(elements_of(spec, out)), 0));
    buffers.out = values(out);
  }
  Buffers<T> buffers;

 private:
  template <class U>
  U* numbers(std::int64_t n) {  // 0.01 as float and as bf16, 1.06 as f16
    return static_cast<U*>(block(n * static_cast<std::int64_t>(sizeof(U)), 0x3c));
  }
  void* block(std::int64_t bytes, int value) {
    const auto size = static_cast<std::size_t>(bytes);
    void* memory = blocks_.emplace_back(size, stream_).as<void>();
    PEN_CUDA(cudaMemsetAsync(memory, value, size, stream_));
    return memory;
  }
  cudaStream_t stream_;
  std::vector<Temporary> blocks_;
};

// False where cuDNN has no engine.
template <class T>
bool run_plan(Libraries& libraries, const Context& ctx, const ConvSpec& spec, const Buffers<T>& b) {
  std::optional<TrialBuffers<T>> trial;
  const ConvPlan* plan = conv_plan(libraries, ctx, spec, [&](const ConvPlan& candidate) {
    if (!trial) trial.emplace(spec, libraries.stream());
    execute(libraries, ctx, spec, candidate, trial->buffers);
  });
  trial.reset();
  if (plan) execute(libraries, ctx, spec, *plan, b);
  return plan != nullptr;
}

// Whether cuDNN gets d folded (shared/fold.inl): in 16 bit, for which it pads few channels in a pass of its own.
template <class T>
bool folds(const Conv2d& d) {
  return is_narrow<T> && shared::folds(d);
}

// K,C,R,S and K,R,S,C are the same where one of the axes that change places is 1.
bool same_layout(const Conv2d& d) { return d.r * d.s == 1 || d.c / d.groups == 1; }

// How a kept copy has the weights: K,R,S,C, or folded. The same weights may be kept as both.
enum class Form : std::uint8_t { turned, folded };

// A kept copy for each name (of contents, and so of a type) and form. A copy under a new name takes the place of its
// owner's old one of that form; beyond so many bytes those not asked for longest go.
class KeptCopies {
 public:
  // The copy of d's weights, which `turn` writes to new memory if there is none.
  template <class T, class F>
  const T* of(const Conv2d& d, Form form, int device, std::size_t bytes, cudaStream_t stream, F turn) {
    const std::lock_guard lock(mutex_);
    const Name name(device, form, d.weight_key);
    auto found = kept_.find(name);
    if (found == kept_.end()) {
      make_room(device, form, d.weight_owner, bytes);
      found = kept_.emplace(name, Copy{Temporary(bytes, stream), bytes, d.weight_owner, 0}).first;
      bytes_ += bytes;
      turn(found->second.memory.template as<T>());
    }
    found->second.asked = ++calls_;
    return found->second.memory.template as<T>();
  }

 private:
  using Name = std::tuple<int, Form, std::uint64_t>;
  struct Copy {
    Temporary memory;
    std::size_t bytes;
    std::uint64_t owner, asked;
  };
  static constexpr std::size_t most_bytes = std::size_t{512} << 20;  // ResNet-50 has 45 MB of 3x3 weights

  void erase(std::map<Name, Copy>::iterator at) {
    bytes_ -= at->second.bytes;
    kept_.erase(at);
  }
  void make_room(int device, Form form, std::uint64_t owner, std::size_t wanted) {
    for (auto at = kept_.begin(); owner && at != kept_.end();) {
      const auto here = at++;
      const auto& [its_device, its_form, key] = here->first;
      if (its_device == device && its_form == form && here->second.owner == owner) erase(here);
    }
    while (!kept_.empty() && bytes_ + wanted > most_bytes)
      erase(std::min_element(kept_.begin(), kept_.end(),
                             [](const auto& a, const auto& b) { return a.second.asked < b.second.asked; }));
  }

  std::mutex mutex_;
  std::uint64_t calls_ = 0;
  std::size_t bytes_ = 0;
  std::map<Name, Copy> kept_;
};
KeptCopies& kept_copies() {
  static auto& all = *new KeptCopies;
  return all;
}

// Weights as K,R,S,C, folded where d folds: as they are, turned for this call, or a kept copy of weights that have a
// name.
template <class T>
class Weights {
 public:
  Weights(Libraries& libraries, const Context& ctx, const Conv2d& d, const T* w) : memory_(w) {
    const Form form = folds<T>(d) ? Form::folded : Form::turned;
    if (form == Form::turned && same_layout(d)) return;
    const Conv2d to = form == Form::folded ? shared::folded(d) : d;
    const std::size_t bytes = static_cast<std::size_t>(to.k * to.c / to.groups * to.r * to.s) * sizeof(T);
    const auto turn = [&](T* out) {
      if constexpr (is_narrow<T>)
        if (form == Form::folded) {
          own::fold_weights(ctx, d, w, out);
          return out;
        }
      own::weights_channels_last(ctx, d.k, d.c / d.groups, d.r * d.s, w, out);
      return out;
    };
    if (d.weight_key == 0) {
      memory_ = turn(turned_.emplace(bytes, libraries.stream()).template as<T>());
      return;
    }
    memory_ = kept_copies().of<T>(d, form, ctx.device.index, bytes, libraries.stream(), turn);
  }
  const T* get() const { return memory_; }

 private:
  const T* memory_;
  std::optional<Temporary> turned_;
};

// The input as it is, or folded for this call where d folds.
template <class T>
class Pixels {
 public:
  Pixels(Libraries& libraries, const Context& ctx, const Conv2d& d, const T* x) : memory_(x) {
    if constexpr (is_narrow<T>) {
      if (!folds<T>(d)) return;
      const Conv2d to = shared::folded(d);
      const auto bytes = static_cast<std::size_t>(to.n * to.h * to.w * to.c) * sizeof(T);
      T* const out = folded_.emplace(bytes, libraries.stream()).template as<T>();
      own::fold_pixels(ctx, d, x, out);
      memory_ = out;
    }
  }
  const T* get() const { return memory_; }

 private:
  const T* memory_;
  std::optional<Temporary> folded_;
};

// Without a library: our own sums in the wide type, and what follows them.
template <class T>
void plain_forward(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b, const T* residual,
                   bool relu, T* y, std::uint8_t* positive) {
  using wide = wide_t<T>;
  const std::int64_t rows = d.n * d.p * d.q;
  const Temporary sums(static_cast<std::size_t>(rows * d.k + 1) * sizeof(wide), stream_of(ctx));
  own::conv2d_fwd<T>(ctx, d, x, w, nullptr, sums.as<wide>());
  own::conv_epilogue<T, wide>(ctx, rows, d.k, d.relu_slope, sums.as<wide>(), b, residual, relu, y, positive);
}
template <class T>
void plain_backward_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                         const std::uint8_t* open, T* dx) {
  using wide = wide_t<T>;
  const std::int64_t n = d.n * d.h * d.w * d.c;
  const Temporary sums(static_cast<std::size_t>(n + 1) * sizeof(wide), stream_of(ctx));
  own::conv2d_bwd_data<T>(ctx, d, dy, w, sums.as<wide>());
  own::add_and_gate<T, wide>(ctx, n, d.relu_slope, sums.as<wide>(), residual, open, dx);
}

// Of d as cuDNN gets it.
template <class T>
ConvSpec spec_of(const Context& ctx, const Conv2d& d, ConvKind kind) {
  ConvSpec spec;
  spec.kind = kind;
  spec.d = folds<T>(d) ? shared::folded(d) : d;
  spec.dtype = dtype_of<T>::value;
  if (spec.dtype == DType::f32) spec.math = ctx.math;
  spec.deterministic = ctx.deterministic;
  return spec;
}

template <class T>
void forward(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b, const T* residual,
             bool relu, T* y, std::uint8_t* positive) {
  Libraries libraries(ctx);
  if (d.n == 0) return;
  ConvSpec spec = spec_of<T>(ctx, d, ConvKind::forward);
  spec.bias = b, spec.residual = residual, spec.relu = relu, spec.marks = positive;
  Buffers<T> buffers;
  const Weights<T> weights(libraries, ctx, d, w);
  const Pixels<T> pixels(libraries, ctx, d, x);
  buffers.x = pixels.get(), buffers.w = weights.get(), buffers.bias = b, buffers.residual = residual;
  buffers.out = y, buffers.positive = positive;
  if (!run_plan(libraries, ctx, spec, buffers)) plain_forward(ctx, d, x, w, b, residual, relu, y, positive);
}

// The data gradient of the folded image, of d that folds; none where cuDNN has no engine.
template <class T>
std::optional<Temporary> folded_gradient(Libraries& libraries, const Context& ctx, const Conv2d& d, const T* dy,
                                         const T* w) {
  const ConvSpec spec = spec_of<T>(ctx, d, ConvKind::data);
  std::optional<Temporary> dx(std::in_place, static_cast<std::size_t>(elements_of(spec, Role::x)) * sizeof(T),
                              libraries.stream());
  const Weights<T> weights(libraries, ctx, d, w);
  Buffers<T> buffers;
  buffers.y = dy, buffers.w = weights.get(), buffers.out = dx->as<T>();
  if (!run_plan(libraries, ctx, spec, buffers)) dx.reset();
  return dx;
}

template <class T>
void backward_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                   const std::uint8_t* open, T* dx) {
  Libraries libraries(ctx);
  if (d.n == 0) return;
  if constexpr (is_narrow<T>)
    if (folds<T>(d)) {
      const std::optional<Temporary> folded = folded_gradient(libraries, ctx, d, dy, w);
      if (!folded) return plain_backward_data(ctx, d, dy, w, residual, open, dx);
      if (!residual && !open) return own::unfold_pixels(ctx, d, folded->as<T>(), dx);
      const std::int64_t n = d.n * d.h * d.w * d.c;  // dx may be the residual
      const Temporary sums(static_cast<std::size_t>(n) * sizeof(T), libraries.stream());
      own::unfold_pixels(ctx, d, folded->as<T>(), sums.as<T>());
      return own::add_and_gate<T, T>(ctx, n, d.relu_slope, sums.as<T>(), residual, open, dx);
    }
  ConvSpec spec = spec_of<T>(ctx, d, ConvKind::data);
  spec.residual = residual, spec.gate = open;
  Buffers<T> buffers;
  const Weights<T> weights(libraries, ctx, d, w);
  buffers.y = dy, buffers.w = weights.get(), buffers.residual = residual, buffers.open = open, buffers.out = dx;
  if (!run_plan(libraries, ctx, spec, buffers)) plain_backward_data(ctx, d, dy, w, residual, open, dx);
}

// The difference and its data gradient are of T: in 16 bit both are rounded.
template <class T>
void backward_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out, const T* w,
                   const wide_t<T>* x, wide_t<T>* dm) {
  Libraries libraries(ctx);
  if (d.n == 0) return;
  const std::int64_t from = d.n * d.p * d.q * d.k, pixels = d.n * d.h * d.w;
  const Temporary difference(static_cast<std::size_t>(from) * sizeof(T), libraries.stream());
  cuda::add_scaled(ctx, from, 1.0, dy_in, -1.0, dy_out, difference.as<T>());
  if constexpr (is_narrow<T>)
    if (folds<T>(d)) {
      const std::optional<Temporary> folded = folded_gradient(libraries, ctx, d, difference.as<T>(), w);
      if (!folded) return own::conv2d_bwd_mask<T>(ctx, d, scale, dy_in, dy_out, w, x, dm);
      return own::mask_of_folded<T>(ctx, d, scale, x, folded->as<T>(), dm);
    }
  const Temporary dx(static_cast<std::size_t>(pixels * d.c) * sizeof(T), libraries.stream());
  Buffers<T> buffers;
  const Weights<T> weights(libraries, ctx, d, w);
  buffers.y = difference.as<T>(), buffers.w = weights.get(), buffers.out = dx.as<T>();
  if (!run_plan(libraries, ctx, spec_of<T>(ctx, d, ConvKind::data), buffers))
    return own::conv2d_bwd_mask<T>(ctx, d, scale, dy_in, dy_out, w, x, dm);
  own::mask_of_data<T>(ctx, {d.n * (d.h / scale), d.w / scale, scale}, d.c, x, dx.as<T>(), dm);
}

// cuDNN 9 has no engine from 16 bit to float32 here: in 16 bit its gradient, of sums in float32, is rounded before it
// is made wider and added.
template <class T>
void backward_weight(const Context& ctx, const Conv2d& d, const T* x, const T* dy, wide_t<T>* dw, Accum accum) {
  Libraries libraries(ctx);
  if (d.n == 0) {
    const std::size_t bytes = static_cast<std::size_t>(d.k * d.c / d.groups * d.r * d.s) * sizeof(wide_t<T>);
    if (accum == Accum::write) PEN_CUDA(cudaMemsetAsync(dw, 0, bytes, libraries.stream()));
    return;
  }
  const ConvSpec spec = spec_of<T>(ctx, d, ConvKind::weight);
  const auto elements = static_cast<std::size_t>(elements_of(spec, Role::w));
  const Pixels<T> pixels(libraries, ctx, d, x);
  Buffers<T> buffers;
  buffers.x = pixels.get(), buffers.y = dy;
  std::optional<Temporary> turned;
  if constexpr (std::is_same_v<T, wide_t<T>>)
    if (same_layout(d) && accum == Accum::write) buffers.out = dw;
  if (!buffers.out) buffers.out = turned.emplace(elements * sizeof(T), libraries.stream()).template as<T>();
  if (!run_plan(libraries, ctx, spec, buffers)) return own::conv2d_bwd_weight<T>(ctx, d, x, dy, dw, accum);
  if constexpr (is_narrow<T>)
    if (folds<T>(d)) return own::unfold_weights<T>(ctx, d, turned->as<T>(), dw, accum);
  if (turned) own::weights_channels_first<T>(ctx, d.k, d.c / d.groups, d.r * d.s, turned->as<T>(), dw, accum);
}

}  // namespace

void conv2d_fwd(const Context& ctx, const Conv2d& d, const float* x, const float* w, const float* b, float* y) {
  named("conv2d_fwd", [&] { forward<float>(ctx, d, x, w, b, nullptr, false, y, nullptr); });
}
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const float* dy, const float* w, float* dx) {
  named("conv2d_bwd_data", [&] { backward_data<float>(ctx, d, dy, w, nullptr, nullptr, dx); });
}

#define PEN_LEARN(T)                                                                                             \
  void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const T* x, const T* dy, float* dw, Accum accum) { \
    named("conv2d_bwd_weight", [&] { backward_weight<T>(ctx, d, x, dy, dw, accum); });                           \
  }
PEN_LEARN(float)
PEN_LEARN(bf16)
PEN_LEARN(f16)
#undef PEN_LEARN

#define PEN_MASK(T)                                                                                              \
  void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out, \
                       const T* w, const wide_t<T>* x, wide_t<T>* dm) {                                          \
    named("conv2d_bwd_mask", [&] { backward_mask<T>(ctx, d, scale, dy_in, dy_out, w, x, dm); });                 \
  }
PEN_MASK(float)
PEN_MASK(bf16)
PEN_MASK(f16)
#undef PEN_MASK

// Double is for checks: our own kernels.
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const double* dy_in, const double* dy_out,
                     const double* w, const double* x, double* dm) {
  named("conv2d_bwd_mask", [&] { own::conv2d_bwd_mask(ctx, d, scale, dy_in, dy_out, w, x, dm); });
}
void conv2d_fwd(const Context& ctx, const Conv2d& d, const double* x, const double* w, const double* b, double* y) {
  named("conv2d_fwd", [&] { own::conv2d_fwd(ctx, d, x, w, b, y); });
}
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const double* dy, const double* w, double* dx) {
  named("conv2d_bwd_data", [&] { own::conv2d_bwd_data(ctx, d, dy, w, dx); });
}
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const double* x, const double* dy, double* dw,
                       Accum accum) {
  named("conv2d_bwd_weight", [&] { own::conv2d_bwd_weight<double>(ctx, d, x, dy, dw, accum); });
}

#define PEN_FUSED(T, how)                                                                                     \
  void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b,      \
                        const T* residual, bool relu, T* y, std::uint8_t* positive) {                         \
    named("conv2d_fused_fwd", [&] { how##forward<T>(ctx, d, x, w, b, residual, relu, y, positive); });        \
  }                                                                                                           \
  void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual, \
                             const std::uint8_t* open, T* dx) {                                               \
    named("conv2d_fused_bwd_data", [&] { how##backward_data<T>(ctx, d, dy, w, residual, open, dx); });        \
  }
PEN_FUSED(float, )
PEN_FUSED(bf16, )
PEN_FUSED(f16, )
PEN_FUSED(double, plain_)
#undef PEN_FUSED

}  // namespace pen::kernels::cuda
