#include "kernels/cuda/libraries.h"

#include <map>

#include "kernels/cuda/blas_status.h"
#include "kernels/cuda/cudnn_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {
namespace {

class Cudnn {
 public:
  Cudnn() { PEN_CUDNN(cudnnCreate(&handle_)); }
  ~Cudnn() {
    if (handle_) PEN_CUDNN_REPORT(cudnnDestroy(handle_));
  }
  Cudnn(Cudnn&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Cudnn& operator=(Cudnn&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  cudnnHandle_t on(cudaStream_t stream) {
    if (stream != stream_ || !set_) PEN_CUDNN(cudnnSetStream(handle_, stream));
    stream_ = stream, set_ = true;
    return handle_;
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  bool set_ = false;
};

class DeviceBlock {
 public:
  explicit DeviceBlock(std::size_t bytes) { PEN_CUDA(cudaMalloc(&memory_, bytes)); }
  ~DeviceBlock() {
    if (memory_) PEN_CUDA_REPORT(cudaFree(memory_));
  }
  DeviceBlock(DeviceBlock&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceBlock& operator=(DeviceBlock&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }
  void* get() const { return memory_; }

 private:
  void* memory_ = nullptr;
};

class Blas {
 public:
  Blas() : workspace_(workspace_bytes) { PEN_CUBLAS(cublasCreate(&handle_)); }
  ~Blas() {
    if (handle_) PEN_CUBLAS_REPORT(cublasDestroy(handle_));
  }
  Blas(Blas&& other) noexcept
      : workspace_(std::move(other.workspace_)), handle_(std::exchange(other.handle_, nullptr)) {}
  Blas& operator=(Blas&& other) noexcept {
    std::swap(workspace_, other.workspace_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  cublasHandle_t on(cudaStream_t stream) {
    if (stream != stream_ || !set_) {
      PEN_CUBLAS(cublasSetStream(handle_, stream));
      // Setting the stream puts cuBLAS's own workspace back.
      PEN_CUBLAS(cublasSetWorkspace(handle_, workspace_.get(), workspace_bytes));
    }
    stream_ = stream, set_ = true;
    return handle_;
  }

 private:
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what cuBLAS asks for on Hopper
  DeviceBlock workspace_;
  cublasHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  bool set_ = false;
};

}  // namespace

struct LibraryHandles {
  std::mutex mutex;
  std::unique_ptr<Cudnn> cudnn;
  std::unique_ptr<Blas> blas;
};

namespace {

// Handles live as long as the process: at its end the driver may be gone before they are.
LibraryHandles& handles_of(int index) {
  static std::mutex mutex;
  static auto& known = *new std::map<int, std::unique_ptr<LibraryHandles>>;
  gpu(index);  // that it is there and that we have code for it is said first
  const std::lock_guard lock(mutex);
  auto& entry = known[index];
  if (!entry) entry = std::make_unique<LibraryHandles>();
  return *entry;
}

}  // namespace

Libraries::Libraries(const Context& ctx)
    : stream_(stream_of(ctx)),
      handles_(handles_of(ctx.device.index)),
      lock_(handles_.mutex),
      scope_(ctx.device.index) {}

cudnnHandle_t Libraries::cudnn() {
  if (!handles_.cudnn) handles_.cudnn = std::make_unique<Cudnn>();
  return handles_.cudnn->on(stream_);
}

cublasHandle_t Libraries::blas() {
  if (!handles_.blas) handles_.blas = std::make_unique<Blas>();
  return handles_.blas->on(stream_);
}

std::string build_description() {
  int blas[3] = {};
  for (const libraryPropertyType part : {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL})
    PEN_CUBLAS(cublasGetProperty(part, &blas[part]));
  const std::size_t cudnn = cudnnGetVersion();
  return str(CUDART_VERSION / 1000, '.', CUDART_VERSION % 1000 / 10, " for ", PENUMBRA_CUDA_ARCHITECTURES, ", cuDNN ",
             cudnn / 10000, '.', cudnn / 100 % 100, '.', cudnn % 100, ", cuBLAS ", blas[0], '.', blas[1], '.', blas[2]);
}

std::string cudnn_version() { return str("cuDNN ", cudnnGetVersion()); }

}  // namespace pen::kernels::cuda
