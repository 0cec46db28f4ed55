// Values of a device that are looked at later: gathered behind the device's work, sent in one copy to pinned memory, so
// that whoever queues a step waits for nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace pen {

// Use: add() tensors, send() once, values() when they are needed. Move-only.
class Readout {
 public:
  explicit Readout(Device device);
  ~Readout();
  Readout(Readout&&) noexcept;

  // Takes a tensor (float32, double or int64, on the device) and returns its number; the same tensor twice has one. On
  // a GPU it must not be written to before send().
  std::size_t add(const Tensor& tensor);
  // Queues the copy behind the work that is queued by now. Nothing can be added after it. OutOfMemory where the
  // device has none for the copy, another Error where there is no pinned memory for it.
  void send();
  // The elements of a tensor; waits until the copy has ended. Before send(): an Error.
  const std::vector<double>& values(std::size_t number);

 private:
  struct Slot;
  struct Slots;
  static Slots& slots();
  void copy(std::size_t bytes);
  void receive();
  Device device_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<double>> values_;  // once they are here
  std::unique_ptr<Slot> slot_;               // on a GPU, between send() and the end
  bool sent_ = false;
};

}  // namespace pen
