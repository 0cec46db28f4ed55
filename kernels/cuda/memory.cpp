// The CUDA side of kernels::device.
#include <cstdio>
#include <exception>

#include "base/log.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/recorder.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {

bool built() { return true; }

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    (void)cudaGetLastError();
    return 0;
  }
  PEN_CUDA(status);
  return count;
}

std::string device_description(int index) {
  PEN_CHECK_AS(device, index >= 0 && index < device_count(), "cuda:", index, ": no such GPU");
  cudaDeviceProp properties{};
  PEN_CUDA(cudaGetDeviceProperties(&properties, index));
  char memory[32];
  std::snprintf(memory, sizeof memory, "%.1f", static_cast<double>(properties.totalGlobalMem) / (1024.0 * 1024 * 1024));
  return str(properties.name, ", ", memory, " GiB, compute capability ", properties.major, ".", properties.minor, ", ",
             properties.multiProcessorCount, " multiprocessors");
}

namespace {

// Gives back what is kept of temporary memory.
void trim(int index) {
  const Aside aside(index);
  PEN_CUDA(cudaDeviceSynchronize());
  cudaMemPool_t pool = nullptr;
  PEN_CUDA(cudaDeviceGetDefaultMemPool(&pool, index));
  PEN_CUDA(cudaMemPoolTrimTo(pool, 0));
  Recorder::of(index).trim();
}

}  // namespace

void* device_allocate(int index, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  gpu(index);
  const DeviceScope scope(index);
  void* memory = nullptr;
  cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    try {
      trim(index);
    } catch (const NoGraphMemory&) {
      return nullptr;
    }
    status = cudaMalloc(&memory, bytes);
  }
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  PEN_CUDA(status);
  return memory;
}

std::uint64_t device_free_memory(int index) {
  gpu(index);
  const DeviceScope scope(index);
  std::size_t free = 0, total = 0;
  PEN_CUDA(cudaMemGetInfo(&free, &total));
  return free;
}

void device_release(int index, void* memory) noexcept {
  if (!memory) return;
  try {
    const DeviceScope scope(index);
    const Aside aside(index);  // what has been recorded may use it
    PEN_CUDA(cudaDeviceSynchronize());
    PEN_CUDA(cudaFree(memory));
  } catch (const std::exception& e) {
    log::warn(e.what());
  }
}

void device_copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  PEN_CHECK_AS(device, to.is_cuda() || from.is_cuda(), "device_copy: neither side is on a GPU");
  const int index = to.is_cuda() ? to.index : from.index;
  const cudaStream_t queue = stream ? static_cast<cudaStream_t>(stream) : gpu(index).compute.get();
  const DeviceScope scope(index);
  if (to.is_cuda() && from.is_cuda() && to.index != from.index) {
    const Aside receiver_aside(queue), sender_aside(from.index);
    // The copy runs in the receiver's order, behind what the sender has queued so far; and what the sender queues from
    // here on (it may overwrite the source) waits for the copy.
    const cudaStream_t sender = gpu(from.index).compute.get();
    {
      const DeviceScope there(from.index);
      Event ready;
      ready.record(sender);
      ready.hold(queue);
    }
    PEN_CUDA(cudaMemcpyPeerAsync(destination, to.index, source, from.index, bytes, queue));
    Event copied;
    copied.record(queue);
    copied.hold(sender);
    return;
  }
  const cudaMemcpyKind kind = !from.is_cuda() ? cudaMemcpyHostToDevice
                              : !to.is_cuda() ? cudaMemcpyDeviceToHost
                                              : cudaMemcpyDeviceToDevice;
  Recorder* recorder = Recorder::on(queue);
  if (recorder && !from.is_cuda()) {  // the caller's memory may have changed by the time the graph runs
    if (const void* const staged = recorder->staged(source, bytes)) source = staged, recorder = nullptr;
  } else if (to.is_cuda()) {
    recorder = nullptr;
  }
  const Aside aside(recorder);
  PEN_CUDA(cudaMemcpyAsync(destination, source, bytes, kind, queue));
  if (!to.is_cuda()) PEN_CUDA(cudaStreamSynchronize(queue));  // the CPU reads it next
}

void device_read_later(int index, void* pinned, const void* source, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  const cudaStream_t queue = stream ? static_cast<cudaStream_t>(stream) : gpu(index).compute.get();
  const DeviceScope scope(index);
  PEN_CUDA(cudaMemcpyAsync(pinned, source, bytes, cudaMemcpyDeviceToHost, queue));
}

void device_zero(int index, void* memory, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  const cudaStream_t queue = stream ? static_cast<cudaStream_t>(stream) : gpu(index).compute.get();
  const DeviceScope scope(index);
  PEN_CUDA(cudaMemsetAsync(memory, 0, bytes, queue));
}

void device_synchronize(int index) {
  gpu(index);
  const DeviceScope scope(index);
  const Aside aside(index);
  PEN_CUDA(cudaDeviceSynchronize());
}

void* device_stream(int index) { return gpu(index).compute.get(); }
void* device_copy_stream(int index) { return gpu(index).copy.get(); }

void* pinned_allocate(int index, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  gpu(index);
  const DeviceScope scope(index);
  void* memory = nullptr;
  PEN_CUDA(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable));
  return memory;
}

void pinned_release(void* memory) noexcept {
  if (memory) PEN_CUDA_REPORT(cudaFreeHost(memory));
}

void* event_create(int index) {
  gpu(index);
  const DeviceScope scope(index);
  cudaEvent_t event = nullptr;
  PEN_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}
void event_destroy(void* event) noexcept { PEN_CUDA_REPORT(cudaEventDestroy(static_cast<cudaEvent_t>(event))); }
void event_record(int index, void* event, void* stream) {
  const DeviceScope scope(index);
  const Aside aside(static_cast<cudaStream_t>(stream));
  PEN_CUDA(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)));
}
void event_hold(int index, void* event, void* stream) {
  const DeviceScope scope(index);
  const Aside aside(static_cast<cudaStream_t>(stream));
  PEN_CUDA(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0));
}
void event_wait(void* event) { PEN_CUDA(cudaEventSynchronize(static_cast<cudaEvent_t>(event))); }

}  // namespace pen::kernels::cuda
