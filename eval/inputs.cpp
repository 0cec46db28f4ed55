#include "eval/inputs.h"

#include <map>
#include <utility>

#include "tensor/upload.h"

namespace pen::eval {
namespace {

enum class What { images, masks };

Uploader& uploader(What what, Device device) {
  thread_local std::map<std::pair<What, int>, Uploader> uploaders;
  return uploaders.try_emplace({what, device.is_cuda() ? device.index : -1}, device).first->second;
}

}  // namespace

Tensor upload_images(std::span<const float> images, std::int64_t n, std::int64_t size, Device device) {
  return uploader(What::images, device).upload(images.data(), images.size(), {n, size, size, 3}, DType::f32);
}

Tensor upload_masks(std::span<const float> masks, std::int64_t n, std::int64_t size, Device device) {
  return uploader(What::masks, device).upload(masks.data(), masks.size(), {n, size, size, 1}, DType::f32);
}

}  // namespace pen::eval
