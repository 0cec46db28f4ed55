#include "tensor/upload.h"

#include <cstring>

#include "base/parallel.h"

namespace pen {

Uploader::Uploader(Device device, std::size_t in_use) : device_(device) {
  for (std::size_t i = 0; i <= in_use; ++i) slots_.emplace_back(device);
}

Uploader::~Uploader() {
  for (Slot& slot : slots_) {
    try {
      slot.copied.wait();
    } catch (const Error&) {  // the device is gone, and with it the copy
    }
    kernels::device::release_pinned(device_, slot.pinned);
  }
}

Tensor Uploader::upload(const void* values, std::size_t count, Shape shape, DType dtype) {
  if (!device_.is_cuda()) return Tensor::from_memory(values, count, std::move(shape), dtype, device_);
  PEN_CHECK(static_cast<std::int64_t>(count) == numel_of(shape), count, " values do not fill a tensor of shape ",
            to_string(shape));
  const std::size_t bytes = count * size_of(dtype);
  const auto write = [&](std::uint8_t* to) {
    parallel_for(static_cast<std::int64_t>(bytes), 1 << 20, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to + begin, static_cast<const std::uint8_t*>(values) + begin, static_cast<std::size_t>(end - begin));
    });
  };
  const auto fits = [&](const Tensor& t) { return t.shape() == shape && t.dtype() == dtype; };
  return send(bytes, write, fits, shape, dtype);
}

Tensor Uploader::upload_bytes(std::size_t bytes, const std::function<void(std::uint8_t*)>& write) {
  const auto size = static_cast<std::int64_t>(bytes);
  if (!device_.is_cuda()) {
    Tensor out = Tensor::empty({size}, DType::u8, device_);
    write(out.mutable_data<std::uint8_t>());
    return out;
  }
  const auto fits = [&](const Tensor& t) { return t.dtype() == DType::u8 && t.numel() >= size; };
  // An eighth more, so that sizes that vary settle soon.
  return send(bytes, write, fits, {size + size / 8}, DType::u8);
}

Tensor Uploader::send(std::size_t bytes, const std::function<void(std::uint8_t*)>& write,
                      const std::function<bool(const Tensor&)>& fits, Shape fresh, DType dtype) {
  void* const compute = kernels::device::stream(device_);
  void* const copies = kernels::device::copy_stream(device_);
  // The batch that goes out of use with this one is in the slot that comes next: what reads it is queued by now.
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  slots_[next_].read.record(compute);
  slot.copied.wait();
  if (!slot.tensor.defined() || !slot.tensor.unique() || !fits(slot.tensor)) {
    slot.tensor = Tensor::empty(std::move(fresh), dtype, device_);
    // Memory of the pool may have readers that are queued on the compute stream.
    slot.read.record(compute);
  }
  if (slot.pinned_bytes < bytes) {
    kernels::device::release_pinned(device_, slot.pinned);
    slot.pinned = nullptr, slot.pinned_bytes = 0;
    const std::size_t room = static_cast<std::size_t>(slot.tensor.numel()) * size_of(dtype);
    slot.pinned = kernels::device::allocate_pinned(device_, room);
    slot.pinned_bytes = room;
  }
  if (bytes > 0) write(static_cast<std::uint8_t*>(slot.pinned));
  slot.read.hold(copies);
  kernels::device::copy(device_, slot.tensor.mutable_bytes(), Device{}, slot.pinned, bytes, copies);
  slot.copied.record(copies);
  slot.copied.hold(compute);
  return slot.tensor.detach();
}

}  // namespace pen
