#include "kernels/cuda/cudnn_descriptor.h"

#include <algorithm>

namespace pen::kernels::cuda {

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) { PEN_CUDNN(cudnnBackendCreateDescriptor(type, &handle_)); }

Descriptor::~Descriptor() {
  if (handle_) PEN_CUDNN_REPORT(cudnnBackendDestroyDescriptor(handle_));
}

Descriptor& Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                                const void* values) {
  PEN_CUDNN(cudnnBackendSetAttribute(handle_, name, type, count, values));
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& other) {
  return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.handle_);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& others) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& d : others) handles.push_back(d.handle_);
  return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(handles.size()), handles.data());
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::string& text) {
  return set_raw(name, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(text.size()), text.data());
}

void Descriptor::finalize() { PEN_CUDNN(cudnnBackendFinalize(handle_)); }
bool Descriptor::try_finalize() { return cudnnBackendFinalize(handle_) == CUDNN_STATUS_SUCCESS; }

std::int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                                 void* values) const {
  std::int64_t count = 0;
  PEN_CUDNN(cudnnBackendGetAttribute(handle_, name, type, most, &count, values));
  return std::min(count, most);
}

std::string Descriptor::get_text(cudnnBackendAttributeName_t name) const {
  std::int64_t size = 0;
  PEN_CUDNN(cudnnBackendGetAttribute(handle_, name, CUDNN_TYPE_CHAR, 0, &size, nullptr));
  std::string text(static_cast<std::size_t>(size), '\0');
  text.resize(static_cast<std::size_t>(get_raw(name, CUDNN_TYPE_CHAR, size, text.data())));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                                    std::int64_t most) const {
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < most; ++i) handles.push_back(found.emplace_back(type).get());
  const std::int64_t count = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data());
  found.erase(found.begin() + static_cast<std::ptrdiff_t>(count), found.end());
  return found;
}

}  // namespace pen::kernels::cuda
