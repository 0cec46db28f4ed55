// The convolution twins of the CUDA backend (kernels/cuda/conv.cpp) with plain loops in place of cuDNN and of the GPU:
// what cuDNN is asked for, and what is done around it. Built where CUDA is; needs no GPU.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/status.h"
#include "kernels/kernels.h"
#include "kernels/ref/exec.h"
#include "kernels/shared/conv.inl"
#include "kernels/shared/fold.inl"
#include "kernels/shared/pointwise.inl"
#include "tests/cases.h"
#include "tests/conv_arrays.h"

using namespace pen;
using namespace pen::kernels;
using namespace pen::test;
using Exec = pen::kernels::ref::Exec;
using std::int64_t;

namespace {

template <class to, class from>
std::vector<to> as(const from* values, int64_t n) {
  std::vector<to> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<to>(static_cast<wide_t<to>>(values[i])));
  return out;
}
// cuDNN as it is to be: whether it fuses, whether it has engines at all, and what it was asked for.
struct FakeCudnn {
  bool fuses = false, has_engines = true;
  std::vector<ConvSpec> asked;
};
FakeCudnn fake;
std::map<const cuda::ConvPlan*, ConvSpec> specs;

// Sums in double, rounded once.
template <class T>
void run_plan(const ConvSpec& spec, bool fused, const cuda::Pointers& at) {
  using cuda::Role;
  const Conv2d& d = spec.d;
  const auto memory = [&](Role role) { return static_cast<const T*>(at.at(static_cast<std::size_t>(role))); };
  const auto give = [&](Role role, const std::vector<double>& values) {
    const auto rounded = as<T>(values.data(), static_cast<int64_t>(values.size()));
    std::copy(rounded.begin(), rounded.end(), const_cast<T*>(memory(role)));
  };
  const auto weights = [&] { return transposed(d.k, d.r * d.s, d.c, as<double>(memory(Role::w), size_w(d))); };
  const auto add_residual = [&](std::vector<double>& sums) {
    if (fused && spec.residual)
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(memory(Role::residual)[i]);
  };
  if (spec.kind == ConvKind::forward) {
    std::vector<double> y(static_cast<std::size_t>(size_y(d)));
    shared::conv2d_fwd<Exec>({}, d, as<double>(memory(Role::x), size_x(d)).data(), weights().data(),
                             static_cast<const double*>(nullptr), y.data());
    add_residual(y);
    const auto* bias = static_cast<const T*>(at.at(static_cast<std::size_t>(Role::bias)));
    for (std::size_t i = 0; fused && i < y.size(); ++i) {
      if (spec.bias) y[i] += static_cast<double>(bias[i % static_cast<std::size_t>(d.k)]);
      if (spec.relu) y[i] = shared::rectified(y[i], d.relu_slope);
    }
    give(Role::y, y);
  } else if (spec.kind == ConvKind::data) {
    std::vector<double> dx(static_cast<std::size_t>(size_x(d)));
    shared::conv2d_bwd_data<Exec>({}, d, as<double>(memory(Role::y), size_y(d)).data(), weights().data(), dx.data());
    add_residual(dx);
    give(Role::x, dx);
  } else {
    std::vector<double> dw(static_cast<std::size_t>(size_w(d)));
    shared::conv2d_bwd_weight<Exec>({}, d, as<double>(memory(Role::x), size_x(d)).data(),
                                    as<double>(memory(Role::y), size_y(d)).data(), dw.data(), Accum::write);
    give(Role::w, transposed(d.k, d.c, d.r * d.s, dw));
  }
}

}  // namespace

namespace pen::kernels::cuda {

// ---- of CUDA and cuDNN, what conv.cpp has of them
void check_status(cudaError_t status, const char*, const char*, int) { REQUIRE(status == cudaSuccess); }
cudaStream_t stream_of(const Context&) { return nullptr; }
DeviceScope::DeviceScope(int) {}
DeviceScope::~DeviceScope() = default;
Temporary::Temporary(std::size_t bytes, cudaStream_t) : memory_(std::aligned_alloc(256, (bytes / 256 + 1) * 256)) {
  std::memset(memory_, 0xFF, bytes);  // a NaN in every type
}
Temporary::~Temporary() { std::free(memory_); }
struct LibraryHandles {
  std::mutex mutex;
};
LibraryHandles handles;
Libraries::Libraries(const Context&) : stream_(nullptr), handles_(handles), lock_(handles.mutex), scope_(0) {}
Descriptor::Descriptor(cudnnBackendDescriptorType_t) {}
Descriptor::~Descriptor() = default;

ConvPlan::ConvPlan(const ConvSpec& spec, bool fused, Descriptor plan)
    : fused_(fused), plan_(std::move(plan)), workspace_(0) {
  specs.emplace(this, spec);
}
void ConvPlan::run(Libraries&, const Pointers& by_role) const {
  const ConvSpec& spec = specs.at(this);
  if (spec.dtype == DType::bf16) run_plan<bf16>(spec, fused_, by_role);
  if (spec.dtype == DType::f16) run_plan<f16>(spec, fused_, by_role);
  if (spec.dtype == DType::f32) run_plan<float>(spec, fused_, by_role);
}
// Every plan is new and tried, as on a GPU that has none yet.
const ConvPlan* conv_plan(Libraries&, const Context&, const ConvSpec& spec,
                          const std::function<void(const ConvPlan&)>& trial) {
  static std::deque<ConvPlan> plans;
  fake.asked.push_back(spec);
  if (!fake.has_engines) return nullptr;
  plans.emplace_back(spec, fake.fuses && spec.fusible(), Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
  trial(plans.back());
  return &plans.back();
}

// ---- kernels of shared.cu
#define PEN_POINTWISE(T)                                                                                       \
  void add_scaled(const Context& ctx, int64_t n, double a, const T* x, double b, const T* y, T* out) {         \
    shared::add_scaled<Exec>(ctx, n, a, x, b, y, out);                                                         \
  }                                                                                                            \
  void narrow(const Context& ctx, int64_t n, const wide_t<T>* x, T* y) { shared::narrow<Exec>(ctx, n, x, y); } \
  void mark_positive(const Context& ctx, int64_t n, const T* y, std::uint8_t* positive) {                      \
    shared::mark_positive<Exec>(ctx, n, y, positive);                                                          \
  }
PEN_POINTWISE(float)
PEN_POINTWISE(bf16)
PEN_POINTWISE(f16)
#undef PEN_POINTWISE

}  // namespace pen::kernels::cuda

extern "C" cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return std::memcpy(to, from, bytes), cudaSuccess;
}
extern "C" cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  return std::memset(to, value, bytes), cudaSuccess;
}

namespace {

constexpr Context gpu{{Device::Kind::cuda, 0}};
const Context plain;

// The largest difference as a part of the largest number, and what roundings to T may make it (tests/cases.h).
template <class T>
double apart(const std::vector<T>& found, const std::vector<T>& expected) {
  double most = 0, scale = 1e-30;
  for (const T v : expected) scale = std::max(scale, std::abs(static_cast<double>(v)));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    most = difference <= most ? most : std::isnan(difference) ? HUGE_VAL : difference;
  }
  return most / scale;
}
template <class T>
double allowed() {
  return dtype_of<T>::value == DType::bf16  ? test::rounded_bf16
         : dtype_of<T>::value == DType::f16 ? test::rounded_f16
                                            : test::product.f32;
}

Conv2d conv(int64_t h, int64_t w, int64_t c, int64_t k, int64_t r, int64_t s, int stride, int pad) {
  Conv2d d{.n = 2, .h = h, .w = w, .c = c, .k = k, .r = r, .s = s, .p = 0, .q = 0, .stride = stride, .pad = pad};
  d.p = (h + 2 * pad - r) / stride + 1, d.q = (w + 2 * pad - s) / stride + 1;
  return d;
}
// The last three do not fold.
const Conv2d convolutions[] = {conv(16, 20, 3, 8, 7, 7, 2, 3), conv(15, 9, 1, 5, 7, 7, 2, 3),
                               conv(12, 10, 4, 8, 5, 5, 2, 1), conv(9, 15, 2, 8, 4, 6, 2, 0),
                               conv(10, 7, 3, 7, 3, 3, 2, 2),  conv(7, 5, 3, 5, 3, 3, 1, 1),
                               conv(9, 8, 5, 7, 3, 3, 2, 1),   conv(5, 7, 6, 8, 1, 1, 1, 0)};

template <class T>
struct ConvCase {
  explicit ConvCase(Conv2d conv) : d(conv) { d.relu_slope = 0.1; }
  Conv2d d;
  std::vector<T> x = numbers<T>(size_x(d), 1), w = numbers<T>(size_w(d), 2), dy = numbers<T>(size_y(d), 3),
                 other = numbers<T>(size_y(d), 4);

  void forward() const {
    const auto bias = numbers<wide_t<T>>(d.k, 5);
    for (const bool epilogue : {false, true})
      for (const int residual : {0, 1, 2}) {  // none, apart, in place
        const auto added = numbers<T>(size_y(d), 6);
        std::vector<T> y = added, expected(y.size());
        std::vector<std::uint8_t> positive(static_cast<std::size_t>(bit_bytes(size_y(d))));
        const auto* b = epilogue ? bias.data() : nullptr;
        ref::conv2d_fused_fwd(plain, d, x.data(), w.data(), b, residual ? added.data() : nullptr, epilogue,
                              expected.data(), nullptr);
        cuda::conv2d_fused_fwd(gpu, d, x.data(), w.data(), b,
                               residual == 0   ? nullptr
                               : residual == 1 ? added.data()
                                               : y.data(),
                               epilogue, y.data(), epilogue ? positive.data() : nullptr);
        CAPTURE(epilogue);
        CAPTURE(residual);
        CHECK(apart(y, expected) <= allowed<T>());
        int wrong = 0;
        for (std::size_t i = 0; epilogue && i < y.size(); ++i)
          wrong += (positive[i / 8] >> (i % 8) & 1) != (y[i] > wide_t<T>(0));
        CHECK(wrong == 0);
      }
  }
  void data_gradient() const {
    const auto open = numbers<T>(bit_bytes(size_x(d)), 8);
    std::vector<std::uint8_t> bits;
    for (const T v : open) bits.push_back(static_cast<std::uint8_t>(127 + 127 * static_cast<double>(v)));
    for (const bool gate : {false, true})
      for (const int residual : {0, 1, 2}) {
        const auto added = numbers<T>(size_x(d), 6);
        std::vector<T> dx = added, expected(dx.size());
        const auto* gates = gate ? bits.data() : nullptr;
        ref::conv2d_fused_bwd_data(plain, d, dy.data(), w.data(), residual ? added.data() : nullptr, gates,
                                   expected.data());
        cuda::conv2d_fused_bwd_data(gpu, d, dy.data(), w.data(),
                                    residual == 0   ? nullptr
                                    : residual == 1 ? added.data()
                                                    : dx.data(),
                                    gates, dx.data());
        CAPTURE(gate);
        CAPTURE(residual);
        CHECK(apart(dx, expected) <= allowed<T>());
      }
  }
  void weight_gradient() const {
    for (const Accum accum : {Accum::write, Accum::add}) {
      auto dw = numbers<wide_t<T>>(size_w(d), 9), expected = dw;
      ref::conv2d_bwd_weight(plain, d, x.data(), dy.data(), expected.data(), accum);
      cuda::conv2d_bwd_weight(gpu, d, x.data(), dy.data(), dw.data(), accum);
      CHECK(apart(dw, expected) <= allowed<T>());
    }
  }
  void mask_gradient() const {
    const auto image = numbers<wide_t<T>>(size_x(d), 10);
    for (const int64_t scale : {1, 2, 4}) {
      if (d.h % scale != 0 || d.w % scale != 0) continue;
      std::vector<wide_t<T>> dm(static_cast<std::size_t>(d.n * (d.h / scale) * (d.w / scale))), expected(dm.size());
      ref::conv2d_bwd_mask(plain, d, scale, dy.data(), other.data(), w.data(), image.data(), expected.data());
      cuda::conv2d_bwd_mask(gpu, d, scale, dy.data(), other.data(), w.data(), image.data(), dm.data());
      CAPTURE(scale);
      CHECK(apart(dm, expected) <= allowed<T>());
    }
  }
};

// What all that was asked for is the convolution as cuDNN is meant to get it.
template <class T>
void check_all() {
  for (const bool has_engines : {true, false})
    for (const bool fuses : {false, true})
      for (const Conv2d& d : convolutions) {
        fake = {fuses, has_engines, {}};
        const ConvCase<T> c(d);
        CAPTURE(str("h", d.h, " w", d.w, " c", d.c, " r", d.r, " s", d.s, " stride", d.stride, " pad", d.pad));
        CAPTURE(fuses);
        CAPTURE(has_engines);
        c.forward();
        c.data_gradient();
        c.weight_gradient();
        c.mask_gradient();
        REQUIRE(fake.asked.size() > 14);
        const bool folds = sizeof(T) == 2 && shared::folds(d);
        const Conv2d wanted = folds ? shared::folded(d) : d;
        for (const ConvSpec& spec : fake.asked) {
          CHECK(spec.d.c == wanted.c);
          CHECK(spec.d.h == wanted.h);
          CHECK(spec.d.r == wanted.r);
          CHECK(spec.d.stride == wanted.stride);
        }
      }
}

}  // namespace

TEST_CASE("conv on a fake cuDNN: forward, gradients and what stands around them, in float32") { check_all<float>(); }
TEST_CASE("conv on a fake cuDNN: the same in bf16, folded where it is meant to be") { check_all<bf16>(); }
TEST_CASE("conv on a fake cuDNN: the same in fp16") { check_all<f16>(); }

TEST_CASE("conv on a fake cuDNN: weights with a name are kept folded and turned, and neither is taken for the other") {
  fake = {};
  Conv2d strided = conv(16, 20, 3, 8, 7, 7, 2, 3), dense = conv(16, 20, 3, 8, 7, 7, 1, 3);
  strided.weight_key = dense.weight_key = 11, strided.weight_owner = dense.weight_owner = 3;
  REQUIRE(shared::folds(strided));
  REQUIRE_FALSE(shared::folds(dense));
  for (int i = 0; i < 2; ++i)
    for (const Conv2d& d : {strided, dense}) {
      const ConvCase<bf16> c(d);
      c.forward();
      c.mask_gradient();
    }
  // A kept copy is used: other contents under the same name, which nobody may give, are not seen. A new name is.
  ConvCase<bf16> c(strided);
  std::vector<bf16> before(static_cast<std::size_t>(size_y(strided))), after(before.size());
  const auto run = [&](std::vector<bf16>& y) {
    cuda::conv2d_fused_fwd(gpu, c.d, c.x.data(), c.w.data(), nullptr, nullptr, false, y.data(), nullptr);
  };
  run(before);
  std::fill(c.w.begin(), c.w.end(), bf16(0.0f));
  run(after);
  CHECK(apart(after, before) == 0);
  c.d.weight_key = 12;
  run(after);
  CHECK(std::all_of(after.begin(), after.end(), [](bf16 v) { return v == 0.0f; }));
}
