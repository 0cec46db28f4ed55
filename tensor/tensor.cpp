#include "tensor/tensor.h"

#include <algorithm>
#include <atomic>

#include "kernels/kernels.h"
#include "tensor/autograd.h"

namespace pen {
namespace {

thread_local kernels::Backend current_backend = kernels::Backend::native;
// Aligned to its size, so that an atomic one needs no lock (clang would call libatomic for it).
struct alignas(8) WholePolicy : ComputePolicy {};
std::atomic<WholePolicy> current_policy{};
static_assert(sizeof(WholePolicy) == 8 && decltype(current_policy)::is_always_lock_free);

Tensor make(Shape shape, DType dtype, std::shared_ptr<Storage> storage) {
  auto impl = std::make_shared<TensorImpl>();
  impl->shape = std::move(shape);
  impl->dtype = dtype;
  impl->storage = std::move(storage);
  return Tensor(std::move(impl));
}

}  // namespace

std::int64_t numel_of(const Shape& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape)
    PEN_CHECK(d >= 0 && !__builtin_mul_overflow(n, d, &n), "a tensor of shape ", to_string(shape), " is impossible");
  return n;
}

std::string to_string(const Shape& shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + ")";
}

void set_compute_policy(ComputePolicy policy) { current_policy.store({policy}); }
ComputePolicy compute_policy() { return current_policy.load(); }
const char* precision_of(DType frozen) {
  return frozen == DType::bf16 ? "bf16" : frozen == DType::f16 ? "fp16" : "fp32";
}

kernels::Context context(Device device) {
  const ComputePolicy policy = compute_policy();
  return {device, current_backend, kernels::device::stream(device), policy.math, policy.deterministic};
}

BackendScope::BackendScope(kernels::Backend backend) : before_(current_backend) { current_backend = backend; }
BackendScope::~BackendScope() { current_backend = before_; }

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  const auto bytes = static_cast<std::size_t>(numel_of(shape)) * size_of(dtype);
  return make(std::move(shape), dtype, std::make_shared<Storage>(device, bytes));
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor out = empty(std::move(shape), dtype, device);
  const std::size_t bytes = static_cast<std::size_t>(out.numel()) * size_of(dtype);
  kernels::device::zero(device, out.mutable_bytes(), bytes, kernels::device::stream(device));
  return out;
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  Tensor out = empty(std::move(shape), dtype, device);
  dispatch(dtype, "full",
           [&]<class T>() { kernels::fill(context(device), out.numel(), value, out.mutable_data<T>()); });
  return out;
}

Tensor Tensor::from_memory(const void* values, std::size_t count, Shape shape, DType dtype, Device device) {
  PEN_CHECK(static_cast<std::int64_t>(count) == numel_of(shape), count, " values do not fill a tensor of shape ",
            to_string(shape));
  Tensor out = empty(std::move(shape), dtype, device);
  kernels::device::copy(device, out.mutable_bytes(), {}, values, count * size_of(dtype),
                        kernels::device::stream(device));
  return out;
}

const TensorImpl& Tensor::checked() const {
  PEN_CHECK(impl_ != nullptr, "an undefined tensor was used");
  return *impl_;
}

const Shape& Tensor::shape() const { return checked().shape; }

std::int64_t Tensor::size(int dimension) const {
  const Shape& s = shape();
  const int n = static_cast<int>(s.size());
  PEN_CHECK(dimension >= -n && dimension < n, "dimension ", dimension, " of a tensor of shape ", to_string(s));
  return s[static_cast<std::size_t>(dimension < 0 ? dimension + n : dimension)];
}

std::int64_t Tensor::numel() const { return numel_of(shape()); }
DType Tensor::dtype() const { return checked().dtype; }
Device Tensor::device() const { return checked().storage->device(); }
const void* Tensor::bytes() const { return checked().storage->data(); }

void* Tensor::mutable_bytes() {
  checked();
  impl_->storage->bump_version();
  return impl_->storage->data();
}

const void* Tensor::read(DType dtype) const {
  PEN_CHECK(checked().dtype == dtype, "a tensor of ", name_of(impl_->dtype), " was read as ", name_of(dtype));
  return impl_->storage->data();
}

void* Tensor::write(DType dtype) {
  PEN_CHECK(checked().dtype == dtype, "a tensor of ", name_of(impl_->dtype), " was written as ", name_of(dtype));
  return mutable_bytes();
}

std::uint64_t Tensor::version() const { return checked().storage->version(); }
std::uint64_t Tensor::storage_id() const { return checked().storage->id(); }
bool Tensor::shares_storage(const Tensor& other) const { return checked().storage == other.checked().storage; }
bool Tensor::unique() const {
  return impl_ && impl_.use_count() == 1 && impl_->storage.use_count() == 1 && !impl_->storage->is_window();
}

void Tensor::copy_out(void* to, DType dtype) const {
  const std::size_t bytes = static_cast<std::size_t>(numel()) * size_of(dtype);
  kernels::device::copy({}, to, device(), read(dtype), bytes, kernels::device::stream(device()));
}

double Tensor::item() const {
  PEN_CHECK(numel() == 1, "item() of a tensor of shape ", to_string(shape()));
  switch (dtype()) {
    case DType::f32:
      return to_vector<float>()[0];
    case DType::f64:
      return to_vector<double>()[0];
    case DType::i64:
      return static_cast<double>(to_vector<std::int64_t>()[0]);
    case DType::i32:
      return to_vector<std::int32_t>()[0];
    case DType::u8:
      return to_vector<std::uint8_t>()[0];
    default:
      fail(ErrorKind::run, str("item() of a tensor of ", name_of(dtype())));
  }
}

Tensor Tensor::detach() const {
  const TensorImpl& i = checked();
  return make(i.shape, i.dtype, i.storage);
}

Tensor Tensor::clone() const {
  Tensor out = empty(shape(), dtype(), device());
  out.copy_from(*this);
  return out;
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return *this;
  Tensor out = empty(shape(), dtype(), target);
  const Device gpu = target.is_cuda() ? target : device();
  kernels::device::copy(target, out.mutable_bytes(), device(), bytes(),
                        static_cast<std::size_t>(numel()) * size_of(dtype()), kernels::device::stream(gpu));
  if (!target.is_cuda()) kernels::device::synchronize(gpu);
  return out;
}

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  if ((dtype() == DType::f32 && is_16_bit(target)) || (is_16_bit(dtype()) && target == DType::f32)) {
    Tensor out = empty(shape(), target, device());
    dispatch16(target == DType::f32 ? dtype() : target, "to", [&]<class T>() {
      if constexpr (sizeof(T) == 2) {
        if (target == DType::f32)
          kernels::widen(context(device()), numel(), data<T>(), out.mutable_data<float>());
        else
          kernels::narrow(context(device()), numel(), data<float>(), out.mutable_data<T>());
      }
    });
    return out;
  }
  PEN_CHECK((dtype() == DType::f32 && target == DType::f64) || (dtype() == DType::f64 && target == DType::f32),
            "no conversion from ", name_of(dtype()), " to ", name_of(target));
  // Conversions only serve checks and files, so they may pass by the CPU.
  if (target == DType::f64) {
    const std::vector<float> v = to_vector<float>();
    return from(std::vector<double>(v.begin(), v.end()), shape(), device());
  }
  const std::vector<double> v = to_vector<double>();
  std::vector<float> rounded(v.size());
  std::transform(v.begin(), v.end(), rounded.begin(), [](double x) { return static_cast<float>(x); });
  return from(rounded, shape(), device());
}

void Tensor::copy_from(const Tensor& other) {
  PEN_CHECK(shape() == other.shape() && dtype() == other.dtype(), "copy of ", to_string(other.shape()), " ",
            name_of(other.dtype()), " into ", to_string(shape()), " ", name_of(dtype()));
  const Device gpu = device().is_cuda() ? device() : other.device();
  kernels::device::copy(device(), mutable_bytes(), other.device(), other.bytes(),
                        static_cast<std::size_t>(numel()) * size_of(dtype()), kernels::device::stream(gpu));
}

Tensor Tensor::view(Shape target) const {
  PEN_CHECK(numel_of(target) == numel(), "a tensor of shape ", to_string(shape()), " cannot be seen as ",
            to_string(target));
  return make(std::move(target), dtype(), checked().storage);
}

Tensor Tensor::window(std::int64_t begin, std::int64_t count) const {
  PEN_CHECK(!shape().empty() && begin >= 0 && count >= 0 && begin <= size(0) - count, "a tensor of shape ",
            to_string(shape()), " has no slices ", begin, " to ", begin + count);
  Shape part = shape();
  part[0] = count;
  const std::size_t each = count ? static_cast<std::size_t>(numel_of(part) / count) * size_of(dtype()) : 0;
  auto storage = std::make_shared<Storage>(checked().storage, static_cast<std::size_t>(begin) * each,
                                           static_cast<std::size_t>(count) * each);
  return make(std::move(part), dtype(), std::move(storage));
}

bool Tensor::requires_grad() const { return impl_ && (impl_->requires_grad || impl_->node); }

Tensor& Tensor::set_requires_grad(bool flag) {
  checked();
  PEN_CHECK(!impl_->node, "requires_grad is set on leaves only; this tensor is the result of '", impl_->node->name,
            "'");
  impl_->requires_grad = flag;
  return *this;
}

Tensor Tensor::grad() const { return Tensor(checked().grad); }

void Tensor::set_grad(Tensor grad) {
  checked();
  impl_->grad = grad.handle();
}

void Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) const {
  PEN_CHECK(checked().node != nullptr, "a hook needs the result of a recorded operation");
  impl_->node->hooks.push_back(std::move(hook));
}

}  // namespace pen
