// Move-only owners of what CUDA hands out, and what is kept for each GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

#include "kernels/types.h"

namespace pen::kernels::cuda {

// Makes a GPU the current one of this thread, and the former one again at the end of the scope.
class DeviceScope {
 public:
  explicit DeviceScope(int index);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int former_ = 0;
  bool changed_ = false;
};

// A stream that does not wait for the legacy default stream. Made on the current GPU.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  cudaStream_t get() const { return handle_; }

 private:
  cudaStream_t handle_ = nullptr;
};

// A point in a stream that another stream can wait for. Made on the current GPU, without timing.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  void record(cudaStream_t stream);
  void hold(cudaStream_t stream);  // what is queued on `stream` from here on waits for this event

 private:
  cudaEvent_t handle_ = nullptr;
};

// The GPU's own time between two points of a stream. Made on the current GPU.
class TimedSpan {
 public:
  TimedSpan();
  ~TimedSpan();
  TimedSpan(TimedSpan&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)), end_(std::exchange(other.end_, nullptr)) {}
  TimedSpan& operator=(TimedSpan&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    return *this;
  }
  void begin(cudaStream_t stream);
  double end(cudaStream_t stream);  // waits for the stream; milliseconds

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

class Recorder;

// Memory that lives in the order of a stream: the destructor gives it back behind the work that is queued by then, and
// neither end waits for the GPU. Blocks are reused by the driver's pool, or by the recorder of a stream that is being
// recorded.
class Temporary {
 public:
  Temporary(std::size_t bytes, cudaStream_t stream);
  ~Temporary();
  Temporary(Temporary&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)),
        stream_(std::exchange(other.stream_, nullptr)),
        lender_(std::exchange(other.lender_, nullptr)) {}
  Temporary& operator=(Temporary&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(stream_, other.stream_);
    std::swap(lender_, other.lender_);
    return *this;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  cudaStream_t stream_ = nullptr;
  Recorder* lender_ = nullptr;
};

// One GPU. The first call for an index checks that it is there and that this build has code for it, and sets it up.
struct Gpu {
  Stream compute, copy;
  int multiprocessors = 0;
};
const Gpu& gpu(int index);

// The stream that a context names; null stands for the compute stream of its GPU.
cudaStream_t stream_of(const Context& ctx);

// Whether the driver can load this build's kernels on the current GPU (probe.cu).
cudaError_t probe_kernels();

}  // namespace pen::kernels::cuda
