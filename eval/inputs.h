// Images and masks on their way to the device of a network that is evaluated.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace pen::eval {

// Images (n, size, size, 3) and masks (n, size, size, 1) as tensors on the device. On a GPU they are staged in pinned
// memory and copied on a stream of their own (tensor/upload.h), so that the copy of a piece runs beside the computation
// on the piece before. Each thread has its own staging memory, for images and for masks. What reads a tensor must be
// queued before the same thread asks for the next one of its kind.
Tensor upload_images(std::span<const float> images, std::int64_t n, std::int64_t size, Device device);
Tensor upload_masks(std::span<const float> masks, std::int64_t n, std::int64_t size, Device device);

}  // namespace pen::eval
