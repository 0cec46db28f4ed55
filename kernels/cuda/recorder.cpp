#include "kernels/cuda/recorder.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>

#include "base/log.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {
namespace {

constexpr std::size_t most_executables = 8;  // CA's kinds of step, and smaller batches at the end of an epoch
constexpr std::size_t fewest_nodes = 16;     // of a graph that is worth keeping; others are parts that somebody cut off
constexpr std::size_t staging_bytes = std::size_t{1} << 20;
std::atomic<Recorder*> under_way = nullptr;

// Large blocks have few sizes, powers of two, so that they serve again and all that are kept are at most four times the
// largest together.
std::size_t room_for(std::size_t bytes) {
  return bytes <= std::size_t{1} << 20 ? (std::max<std::size_t>(bytes, 1) + 511) / 512 * 512 : std::bit_ceil(bytes);
}

}  // namespace

Recorder& Recorder::of(int index) {
  static std::mutex mutex;
  static auto& known = *new std::map<int, std::unique_ptr<Recorder>>;
  const std::lock_guard lock(mutex);
  auto& entry = known[index];
  if (!entry) entry = std::make_unique<Recorder>(index);
  return *entry;
}

Recorder* Recorder::on(cudaStream_t stream) {
  Recorder* const recorder = under_way;
  return recorder && recorder->capturing_ && recorder->stream() == stream ? recorder : nullptr;
}

Recorder* Recorder::on(int index) {
  Recorder* const recorder = under_way;
  return recorder && recorder->capturing_ && recorder->index_ == index ? recorder : nullptr;
}

void Recorder::begin() {
  Recorder* none = nullptr;
  PEN_CHECK_AS(device, under_way.compare_exchange_strong(none, this), "a recording is under way");
  try {
    const DeviceScope scope(index_);
    lost_ = nullptr;
    turn_ = 1 - turn_;
    Staging& staging = staging_[turn_];
    if (!staging.read) staging.read = event_create(index_);
    if (!staging.memory) staging.memory = pinned_allocate(index_, staging_bytes);
    event_wait(staging.read);
    staging.used = 0;
    open();
  } catch (...) {
    under_way = nullptr;
    throw;
  }
}

void Recorder::end() {
  PEN_CHECK_AS(device, under_way == this, "no recording is under way");
  under_way = nullptr;
  try {
    close();
  } catch (...) {  // it is in lost_
  }
  event_record(index_, staging_[turn_].read, stream());
  if (lost_) std::rethrow_exception(lost_);
}

// Relaxed: memory may be allocated meanwhile, and events of earlier work be waited for.
void Recorder::open() {
  const DeviceScope scope(index_);
  PEN_CUDA(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed));
  capturing_ = true;
}

void Recorder::close() {
  if (!capturing_) return;
  capturing_ = false;
  try {
    close_or_throw();
  } catch (...) {
    if (!lost_) lost_ = std::current_exception();
    throw;
  }
}

void Recorder::close_or_throw() {
  const DeviceScope scope(index_);
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(stream(), &graph);
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    fail(ErrorKind::device,
         str("cuda:", index_, ": the work could not be recorded as a CUDA graph: ", cudaGetErrorString(status)),
         "run without --cuda_graph");
  }
  struct Owner {
    cudaGraph_t graph;
    ~Owner() { PEN_CUDA_REPORT(cudaGraphDestroy(graph)); }
  } const owner{graph};
  launch(graph);
}

void Recorder::launch(cudaGraph_t graph) {
  std::size_t nodes = 0;
  PEN_CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
  if (nodes == 0) return;
  if (nodes < fewest_nodes) {
    const cudaGraphExec_t once = instantiate(graph);
    const cudaError_t status = cudaGraphLaunch(once, stream());
    PEN_CUDA_REPORT(cudaGraphExecDestroy(once));  // one that runs goes when it has ended
    PEN_CUDA(status);
  } else {
    PEN_CUDA(cudaGraphLaunch(executable(graph, nodes), stream()));
  }
  ++counts_.graphs;
  counts_.nodes += static_cast<std::int64_t>(nodes);
}

// Where the GPU has no memory for it: once more without the others, and without what the driver's pool keeps. What the
// recorder and tensors keep stays: this graph may use it.
cudaGraphExec_t Recorder::instantiate(cudaGraph_t graph) {
  cudaGraphExec_t handle = nullptr;
  cudaError_t status = cudaGraphInstantiate(&handle, graph, 0);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    PEN_CUDA(cudaDeviceSynchronize());
    for (const Executable& e : executables_) PEN_CUDA_REPORT(cudaGraphExecDestroy(e.handle));
    executables_.clear();
    cudaMemPool_t pool = nullptr;
    PEN_CUDA(cudaDeviceGetDefaultMemPool(&pool, index_));
    PEN_CUDA(cudaMemPoolTrimTo(pool, 0));
    status = cudaGraphInstantiate(&handle, graph, 0);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw NoGraphMemory(index_);
    }
  }
  PEN_CUDA(status);
  ++counts_.instantiated;
  return handle;
}

cudaGraphExec_t Recorder::executable(cudaGraph_t graph, std::size_t nodes) {
  for (Executable& e : executables_) {
    if (e.nodes != nodes) continue;
    cudaGraphExecUpdateResultInfo info{};
    if (cudaGraphExecUpdate(e.handle, graph, &info) == cudaSuccess) {
      e.used = static_cast<std::uint64_t>(counts_.graphs);
      return e.handle;
    }
    (void)cudaGetLastError();  // of another shape: nothing was changed
  }
  if (executables_.size() >= most_executables) {
    const auto oldest = std::min_element(executables_.begin(), executables_.end(),
                                         [](const Executable& a, const Executable& b) { return a.used < b.used; });
    PEN_CUDA(cudaGraphExecDestroy(oldest->handle));
    executables_.erase(oldest);
  }
  executables_.reserve(most_executables);
  executables_.push_back({instantiate(graph), nodes, static_cast<std::uint64_t>(counts_.graphs)});
  return executables_.back().handle;
}

const void* Recorder::staged(const void* source, std::size_t bytes) {
  Staging& staging = staging_[turn_];
  if (bytes > staging_bytes - staging.used) return nullptr;
  void* const to = static_cast<char*>(staging.memory) + staging.used;
  std::memcpy(to, source, bytes);
  staging.used += (bytes + 15) / 16 * 16;
  staging.used = std::min(staging.used, staging_bytes);
  return to;
}

void* Recorder::take(std::size_t bytes) {
  const std::size_t size = room_for(bytes);
  if (const auto at = free_.lower_bound(size); at != free_.end() && at->first <= 2 * size) {
    void* const memory = at->second;
    free_.erase(at);
    return memory;
  }
  void* memory = device_allocate(index_, size);
  for (const bool last : {false, true}) {
    if (memory) break;
    tell_shortage(index_, size, last);
    memory = device_allocate(index_, size);
  }
  PEN_CHECK_AS(device, memory, "out of memory on cuda:", index_, ": a kernel asked for ", size, " bytes to work in");
  sizes_[memory] = size;
  return memory;
}

void Recorder::give(void* memory) { free_.emplace(sizes_.at(memory), memory); }

void Recorder::trim() noexcept {
  for (const auto& [size, memory] : free_) {
    sizes_.erase(memory);
    PEN_CUDA_REPORT(cudaFree(memory));
  }
  free_.clear();
}

Aside::Aside(Recorder* recorder) : recorder_(recorder) {
  if (recorder_) recorder_->close();
}

Aside::~Aside() {
  if (!recorder_ || under_way != recorder_) return;
  try {
    recorder_->open();
  } catch (const std::exception& e) {  // the rest goes kernel by kernel
    log::warn(e.what());
  }
}

void recording_begin(int index) { Recorder::of(index).begin(); }
void recording_end(int index) {
  try {
    Recorder::of(index).end();
  } catch (const NoGraphMemory&) {
    tell_shortage(index, 0, true);
    throw;
  }
}
RecordingCounts recording_counts(int index) { return Recorder::of(index).counts(); }

}  // namespace pen::kernels::cuda
