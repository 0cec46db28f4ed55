// Tensors: dense, row-major, on one device. Activations are (N,H,W,C), weights (K,C,R,S), logits (N,classes).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/types.h"
#include "tensor/memory.h"

namespace pen {

using Shape = std::vector<std::int64_t>;
std::int64_t numel_of(const Shape& shape);  // an Error if a size is negative or the product overflows
std::string to_string(const Shape& shape);  // "(8, 224, 224, 3)"

struct Node;  // autograd.h
struct TensorImpl;

// A handle: copies share the same elements, gradient and history.
class Tensor {
 public:
  Tensor() = default;  // undefined
  // Elements are not initialised.
  static Tensor empty(Shape shape, DType dtype = DType::f32, Device device = {});
  static Tensor zeros(Shape shape, DType dtype = DType::f32, Device device = {});
  static Tensor full(Shape shape, double value, DType dtype = DType::f32, Device device = {});
  // Copies `values` (as many as the shape has elements) to the device.
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape, Device device = {}) {
    return from_memory(values.data(), values.size(), std::move(shape), dtype_of<T>::value, device);
  }
  static Tensor from_memory(const void* values, std::size_t count, Shape shape, DType dtype, Device device);

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  std::int64_t size(int dimension) const;  // negative counts from the end
  std::int64_t numel() const;
  DType dtype() const;
  Device device() const;

  // Elements for reading, and for writing (which counts as a modification). An Error if T is not the dtype.
  template <class T>
  const T* data() const {
    return static_cast<const T*>(read(dtype_of<T>::value));
  }
  template <class T>
  T* mutable_data() {
    return static_cast<T*>(write(dtype_of<T>::value));
  }
  const void* bytes() const;
  void* mutable_bytes();
  std::uint64_t version() const;
  std::uint64_t storage_id() const;
  bool shares_storage(const Tensor& other) const;
  // Whether no other tensor holds this storage, so that it may be overwritten. Never of a window.
  bool unique() const;

  // All elements on the CPU.
  template <class T>
  std::vector<T> to_vector() const {
    std::vector<T> out(static_cast<std::size_t>(numel()));
    copy_out(out.data(), dtype_of<T>::value);
    return out;
  }
  double item() const;  // the only element, any dtype

  // Without history: shares the elements.
  Tensor detach() const;
  Tensor clone() const;  // a copy without history
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;         // float32 <-> double, bf16 or f16, rounded once; no history
  void copy_from(const Tensor& other);  // same shape and dtype; counts as a modification
  // The same elements under another shape (no history; ops::reshape keeps it). An Error if the sizes differ.
  Tensor view(Shape shape) const;
  // A window: `count` slices of the first dimension from `begin`, in the same memory, without history. Writing through
  // it is a modification of the whole. An Error if they do not lie inside.
  Tensor window(std::int64_t begin, std::int64_t count) const;

  // ---- autograd
  bool requires_grad() const;  // of a leaf: as set; of a result: it has a history
  Tensor& set_requires_grad(bool flag);
  // Undefined before the first backward. A later backward adds to it in place unless it is also held elsewhere, so a
  // gradient that the caller keeps does not change.
  Tensor grad() const;
  void set_grad(Tensor grad);
  void clear_grad() { set_grad({}); }
  // Called with the gradient of this result when backward reaches it; may return another gradient of the same shape and
  // dtype (undefined: keep).
  void register_hook(std::function<Tensor(const Tensor&)> hook) const;

  TensorImpl* impl() const { return impl_.get(); }
  const std::shared_ptr<TensorImpl>& handle() const { return impl_; }
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

 private:
  const void* read(DType dtype) const;
  void* write(DType dtype);
  void copy_out(void* to, DType dtype) const;
  const TensorImpl& checked() const;
  std::shared_ptr<TensorImpl> impl_;
};

struct TensorImpl {
  Shape shape;
  DType dtype = DType::f32;
  std::shared_ptr<Storage> storage;
  bool requires_grad = false;
  std::shared_ptr<Node> node;  // the operation that made it, null for leaves
  std::shared_ptr<TensorImpl> grad;
};

// Calls f.template operator()<float>() or <double>(); any other dtype is an Error naming `what`.
template <class F>
decltype(auto) dispatch(DType dtype, const char* what, F&& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  PEN_CHECK(dtype == DType::f32, what, ": no kernels for ", name_of(dtype));
  return f.template operator()<float>();
}

inline bool is_16_bit(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }
// What sums, biases and parameters are of beside activations of this type: f32 beside 16 bit.
inline DType wide_of_type(DType dtype) { return is_16_bit(dtype) ? DType::f32 : dtype; }

// dispatch(), and <bf16>() or <f16>() for those.
template <class F>
decltype(auto) dispatch16(DType dtype, const char* what, F&& f) {
  if (dtype == DType::bf16) return f.template operator()<bf16>();
  if (dtype == DType::f16) return f.template operator()<f16>();
  return dispatch(dtype, what, f);
}

// How the process computes. math and deterministic are for GPUs (kernels::Context) and change nothing on the CPU.
struct ComputePolicy {
  kernels::Math math = kernels::Math::fp32;
  bool deterministic = true;
  DType frozen = DType::f32;  // of activations inside float32 classifiers, frozen or learning: f32, bf16 or f16
};
// What --precision calls the type inside classifiers: "fp32", "bf16", "fp16".
const char* precision_of(DType frozen);
void set_compute_policy(ComputePolicy policy);
ComputePolicy compute_policy();

// Where and how the kernels of this device run; the backend follows BackendScope.
kernels::Context context(Device device);

// Makes the calling thread's operations use the given backend while it lives (tests hold the plain loops against
// oneDNN).
class BackendScope {
 public:
  explicit BackendScope(kernels::Backend backend);
  ~BackendScope();
  BackendScope(const BackendScope&) = delete;

 private:
  kernels::Backend before_;
};

}  // namespace pen
