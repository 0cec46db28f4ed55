#include "kernels/cuda/gpu.h"

#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <mutex>

#include "base/log.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/recorder.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {

DeviceScope::DeviceScope(int index) {
  PEN_CUDA(cudaGetDevice(&former_));
  if (former_ == index) return;
  PEN_CUDA(cudaSetDevice(index));
  changed_ = true;
}

DeviceScope::~DeviceScope() {
  if (changed_) PEN_CUDA_REPORT(cudaSetDevice(former_));
}

Stream::Stream() { PEN_CUDA(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking)); }
Stream::~Stream() {
  if (handle_) PEN_CUDA_REPORT(cudaStreamDestroy(handle_));
}

Event::Event() { PEN_CUDA(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming)); }
Event::~Event() {
  if (handle_) PEN_CUDA_REPORT(cudaEventDestroy(handle_));
}
void Event::record(cudaStream_t stream) { PEN_CUDA(cudaEventRecord(handle_, stream)); }
void Event::hold(cudaStream_t stream) { PEN_CUDA(cudaStreamWaitEvent(stream, handle_, 0)); }

TimedSpan::TimedSpan() {
  PEN_CUDA(cudaEventCreate(&begin_));
  PEN_CUDA(cudaEventCreate(&end_));
}
TimedSpan::~TimedSpan() {
  if (begin_) PEN_CUDA_REPORT(cudaEventDestroy(begin_));
  if (end_) PEN_CUDA_REPORT(cudaEventDestroy(end_));
}
void TimedSpan::begin(cudaStream_t stream) { PEN_CUDA(cudaEventRecord(begin_, stream)); }
double TimedSpan::end(cudaStream_t stream) {
  float ms = 0;
  PEN_CUDA(cudaEventRecord(end_, stream));
  PEN_CUDA(cudaEventSynchronize(end_));
  PEN_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
  return static_cast<double>(ms);
}

namespace {

// Of the driver's pool. What recordings and then tensors keep for later may be what is missing.
void* pool_allocate(std::size_t bytes, cudaStream_t stream) {
  void* memory = nullptr;
  cudaError_t status = cudaMallocAsync(&memory, bytes, stream);
  for (int attempt = 0; status == cudaErrorMemoryAllocation && attempt < 3; ++attempt) {
    (void)cudaGetLastError();
    int index = 0;
    PEN_CUDA(cudaGetDevice(&index));
    if (attempt == 0) {
      const Aside aside(index);
      PEN_CUDA(cudaDeviceSynchronize());
      Recorder::of(index).trim();
    } else {
      tell_shortage(index, bytes, attempt == 2);
    }
    status = cudaMallocAsync(&memory, bytes, stream);
  }
  PEN_CUDA(status);
  return memory;
}

}  // namespace

Temporary::Temporary(std::size_t bytes, cudaStream_t stream) : stream_(stream) {
  if (bytes == 0) return;
  lender_ = Recorder::on(stream);
  memory_ = lender_ ? lender_->take(bytes) : pool_allocate(bytes, stream);
}
Temporary::~Temporary() {
  if (!memory_) return;
  try {
    if (lender_) {
      lender_->give(memory_);
    } else {
      const Aside aside(stream_);
      PEN_CUDA_REPORT(cudaFreeAsync(memory_, stream_));
    }
  } catch (const std::exception& e) {
    log::warn(e.what());
  }
}

namespace {

void check_code(int index) {
  const cudaError_t status = probe_kernels();
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorUnsupportedPtxVersion) {
    (void)cudaGetLastError();
    int major = 0, minor = 0;
    PEN_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
    PEN_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
    fail(ErrorKind::device, str("cuda:", index, ": this build has no code for compute capability ", major, ".", minor),
         str("rebuild with cmake -DCMAKE_CUDA_ARCHITECTURES=", major, minor, ", or use --device cpu"));
  }
  check_status(status, "loading the kernels", __FILE__, __LINE__);
}

std::unique_ptr<Gpu> set_up(int index) {
  const int count = device_count();
  if (index < 0 || index >= count)
    fail(ErrorKind::device, str("cuda:", index, ": no such GPU; ", count, " found"),
         "check nvidia-smi, or use --device cpu");
  const DeviceScope scope(index);
  check_code(index);
  auto made = std::make_unique<Gpu>();
  PEN_CUDA(cudaDeviceGetAttribute(&made->multiprocessors, cudaDevAttrMultiProcessorCount, index));
  // Temporary memory stays with the process between uses; by default each synchronisation would hand it back.
  cudaMemPool_t pool = nullptr;
  std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
  PEN_CUDA(cudaDeviceGetDefaultMemPool(&pool, index));
  PEN_CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  return made;
}

}  // namespace

const Gpu& gpu(int index) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<Gpu>> known;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Gpu>& entry = known[index];
  if (!entry) entry = set_up(index);
  return *entry;
}

cudaStream_t stream_of(const Context& ctx) {
  return ctx.stream ? static_cast<cudaStream_t>(ctx.stream) : gpu(ctx.device.index).compute.get();
}

}  // namespace pen::kernels::cuda
