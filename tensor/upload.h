// Batches on their way to a device: staged in pinned memory, copied on a stream of their own while the device computes.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace pen {

// Slots take turns, each with pinned memory and a tensor on the device; they are kept between batches, so that a steady
// step allocates nothing. There is one more than batches that are in use at a time. The order that makes this safe:
//   - a copy into a slot's tensor waits for everything that was queued on the compute stream when the last batch before
//     it was asked for: the slot's former batch was out of use by then, and its last reader queued;
//   - the compute stream waits for the copy before it runs what is queued after upload();
//   - the CPU writes to a slot's pinned memory when its former copy has ended.
// On the CPU a batch is one copy.
class Uploader {
 public:
  // in_use: how many batches are, the newest included.
  explicit Uploader(Device device, std::size_t in_use = 1);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  // `count` values of the type as a tensor of the shape. `values` may change as soon as the call returns. The tensor
  // must not be kept beyond the `in_use`th upload after it; one that still is gets memory of its own, and the slot a
  // new tensor.
  Tensor upload(const void* values, std::size_t count, Shape shape, DType dtype);
  // The same of bytes that `write` puts into the memory it is given. The tensor (of uint8) may be larger than `bytes`:
  // batches of changing sizes share memory of the largest so far.
  Tensor upload_bytes(std::size_t bytes, const std::function<void(std::uint8_t*)>& write);

 private:
  struct Slot {
    explicit Slot(Device device) : copied(device), read(device) {}
    Tensor tensor;
    void* pinned = nullptr;
    std::size_t pinned_bytes = 0;
    kernels::device::Mark copied, read;
  };
  // Sends `bytes` that `write` makes through the next slot. fits: whether a slot's tensor can take them; else it is
  // replaced by `fresh` elements of the type.
  Tensor send(std::size_t bytes, const std::function<void(std::uint8_t*)>& write,
              const std::function<bool(const Tensor&)>& fits, Shape fresh, DType dtype);
  Device device_;
  std::deque<Slot> slots_;
  std::size_t next_ = 0;
};

}  // namespace pen
