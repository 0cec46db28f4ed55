// A thin layer over cuDNN's backend API: one owner for all its descriptors, with typed attributes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/cudnn_status.h"

namespace pen::kernels::cuda {

// The type tag that goes with a C++ type.
template <class T>
struct attribute_type;
#define PEN_ATTRIBUTE(T, tag)                                 \
  template <>                                                 \
  struct attribute_type<T> {                                  \
    static constexpr cudnnBackendAttributeType_t value = tag; \
  };
PEN_ATTRIBUTE(std::int64_t, CUDNN_TYPE_INT64)
PEN_ATTRIBUTE(bool, CUDNN_TYPE_BOOLEAN)
PEN_ATTRIBUTE(float, CUDNN_TYPE_FLOAT)
PEN_ATTRIBUTE(double, CUDNN_TYPE_DOUBLE)
PEN_ATTRIBUTE(char, CUDNN_TYPE_CHAR)
PEN_ATTRIBUTE(void*, CUDNN_TYPE_VOID_PTR)
PEN_ATTRIBUTE(cudnnHandle_t, CUDNN_TYPE_HANDLE)
PEN_ATTRIBUTE(cudnnDataType_t, CUDNN_TYPE_DATA_TYPE)
PEN_ATTRIBUTE(cudnnConvolutionMode_t, CUDNN_TYPE_CONVOLUTION_MODE)
PEN_ATTRIBUTE(cudnnPointwiseMode_t, CUDNN_TYPE_POINTWISE_MODE)
PEN_ATTRIBUTE(cudnnBackendHeurMode_t, CUDNN_TYPE_HEUR_MODE)
PEN_ATTRIBUTE(cudnnBackendNumericalNote_t, CUDNN_TYPE_NUMERICAL_NOTE)
PEN_ATTRIBUTE(cudnnBackendKnobType_t, CUDNN_TYPE_KNOB_TYPE)
#undef PEN_ATTRIBUTE

// Created empty, filled with attributes, finalized, then read-only. Errors throw; the destructor reports.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, T value) {
    return set_raw(name, attribute_type<T>::value, 1, &value);
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    return set_raw(name, attribute_type<T>::value, static_cast<std::int64_t>(values.size()), values.data());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& others);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::string& text);
  void finalize();
  // Finalizes; false, and no error, where cuDNN says that it cannot.
  bool try_finalize();

  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get_raw(name, attribute_type<T>::value, 1, &value);
    return value;
  }
  // At most `most` values.
  template <class T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name, std::int64_t most) const {
    std::vector<T> values(static_cast<std::size_t>(most));
    values.resize(static_cast<std::size_t>(get_raw(name, attribute_type<T>::value, most, values.data())));
    return values;
  }
  std::string get_text(cudnnBackendAttributeName_t name) const;
  // At most `most` descriptors of `type`, which cuDNN fills.
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                          std::int64_t most) const;

  cudnnBackendDescriptor_t get() const { return handle_; }

 private:
  Descriptor& set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                      const void* values);
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                       void* values) const;
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace pen::kernels::cuda
