// Every kernel, for float and double. kernels.def is the table of contents: shapes and formulas are there.
//
// `kernels::` dispatches by the context: ref:: for Backend::reference, else the device's twin.
#pragma once

#include <utility>

#include "kernels/types.h"

namespace pen::kernels {

#define PEN_KERNEL_OF(kind, name, parameters, arguments) void name parameters;
#include "kernels/every_type.def"

namespace ref {
#include "kernels/every_type.def"
}  // namespace ref

namespace cpu {
#include "kernels/every_type.def"
}  // namespace cpu

namespace cuda {
#include "kernels/every_type.def"
}  // namespace cuda
#undef PEN_KERNEL_OF

// One line of the list, for tables and for the tests that guard its completeness.
struct KernelInfo {
  const char* name;
  const char* kind;  // "library", "shared" or "tuned"
};
const KernelInfo* kernel_list(std::size_t& count);

// Memory and streams of a device; without CUDA the CUDA ones throw "built without CUDA".
namespace device {
int cuda_count();                         // GPUs that this build can use; 0 without CUDA or driver
std::string cuda_description(int index);  // name, memory, compute capability
bool has_bf16(Device device);             // whether it multiplies bf16 fast; every GPU that this build is for does
void* allocate(Device device, std::size_t bytes);  // 64-byte aligned (CPU), 256 (CUDA); null when it is refused
std::uint64_t free_memory(Device device);          // bytes that the system or the GPU could still give
void release(Device device, void* memory) noexcept;
void discard(void* memory,
             std::size_t bytes) noexcept;  // CPU: the whole pages inside go back to the system, zeros come
void trim() noexcept;                      // CPU: what malloc keeps of freed memory goes back to the system
void copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream);
// Device memory of a GPU to pinned memory, in the order of the stream; the caller waits for a Mark behind it.
void read_later(Device device, void* pinned, const void* source, std::size_t bytes, void* stream);
void zero(Device device, void* memory, std::size_t bytes, void* stream);
void synchronize(Device device);
void* stream(Device device);       // the device's one compute stream
void* copy_stream(Device device);  // a second one, for uploads beside the computation

// Memory of the CPU that a GPU copies to and from by itself, so that the copy need not wait for the CPU. On a device
// without a GPU: ordinary memory.
void* allocate_pinned(Device device, std::size_t bytes);
void release_pinned(Device device, void* memory) noexcept;

// A point in a stream. On the CPU, whose work is done when a call returns, it does nothing.
class Mark {
 public:
  explicit Mark(Device device);
  ~Mark();
  Mark(Mark&& other) noexcept : device_(other.device_), event_(std::exchange(other.event_, nullptr)) {}
  Mark& operator=(Mark&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(event_, other.event_);
    return *this;
  }
  void record(void* stream);      // here, behind what is queued so far
  void hold(void* stream) const;  // what is queued on `stream` from here on waits for the point
  void wait() const;              // the caller waits for it; at once if nothing was recorded

 private:
  Device device_;
  void* event_ = nullptr;
};

// Told when a kernel finds no memory of so many bytes to work in (0: of an unknown size): first to give back what is
// kept for later, then, `last`, to throw what a tensor without memory throws. One handler for the process.
using ShortageHandler = void (*)(Device device, std::uint64_t bytes, bool last);
void on_shortage(ShortageHandler handler);

// For its length what is queued on the GPU's compute stream is collected and goes there as CUDA graphs: the same
// kernels, order and memory. Whoever waits for the GPU, or gives memory back to it, sends what has been collected so
// far; finish(), or else the end, sends the rest. On the CPU it does nothing. One at a time in the process.
class Recording {
 public:
  explicit Recording(Device device);
  ~Recording();
  Recording(const Recording&) = delete;
  void finish();

 private:
  Device device_;
  bool open_;
};
RecordingCounts recording_counts(Device device);
}  // namespace device

}  // namespace pen::kernels
