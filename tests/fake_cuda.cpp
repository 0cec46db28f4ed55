#include "tests/fake_cuda.h"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "kernels/cuda/gpu.h"

namespace {

using pen::test::fake_cuda;

struct Work {
  char kind;  // 'c' copy, 's' set
  std::function<void()> run;
};
using Queue = std::vector<Work>;

struct Stream {
  Queue queued;  // runs when somebody waits
  bool capturing = false, invalid = false;
  Queue captured;
};
struct Event {
  Stream* stream = nullptr;  // where it was recorded
};

// As long as the process: what kernels/cuda keeps is given back at its end.
std::set<Stream*>& streams() {
  static auto& all = *new std::set<Stream*>;
  return all;
}
std::map<void*, std::size_t>& blocks() {
  static auto& all = *new std::map<void*, std::size_t>;
  return all;
}
std::set<void*>& pinned() {
  static auto& all = *new std::set<void*>;
  return all;
}

Stream* of(cudaStream_t s) { return reinterpret_cast<Stream*>(s); }
Event* of(cudaEvent_t e) { return reinterpret_cast<Event*>(e); }
Queue* of(cudaGraph_t g) { return reinterpret_cast<Queue*>(g); }
Queue* of(cudaGraphExec_t g) { return reinterpret_cast<Queue*>(g); }

cudaError_t last = cudaSuccess;
cudaError_t fails(cudaError_t with) { return last = with; }

// A captured stream does not do this.
bool refuses(Stream* stream, const char* what) {
  if (!stream->capturing) return false;
  stream->invalid = true;
  fake_cuda().refused = what;
  return true;
}
bool one_refuses(const char* what) {
  for (Stream* s : streams())
    if (refuses(s, what)) return true;
  return false;
}

void run(Stream* stream) {
  for (const Work& w : std::exchange(stream->queued, {})) w.run();
}
void run_all() {
  for (Stream* s : streams()) run(s);
}
void queue(Stream* stream, Work work) {
  (stream->capturing ? stream->captured : stream->queued).push_back(std::move(work));
}

bool on_device(const void* p) {
  const auto at = blocks().upper_bound(const_cast<void*>(p));
  if (at == blocks().begin()) return false;
  const auto& [begin, size] = *std::prev(at);
  return p < static_cast<char*>(begin) + size;
}

void* new_block(std::size_t bytes) {
  if (bytes > fake_cuda().memory_left) return nullptr;
  fake_cuda().memory_left -= bytes;
  ++fake_cuda().blocks;
  void* const p = std::malloc(bytes);
  blocks()[p] = bytes;
  return p;
}
void free_block(void* p) {
  fake_cuda().memory_left += blocks().at(p);
  --fake_cuda().blocks;
  blocks().erase(p);
  std::free(p);
}

// What the driver's pool keeps, as its threshold tells it to.
std::map<std::size_t, std::vector<void*>>& pool() {
  static auto& kept = *new std::map<std::size_t, std::vector<void*>>;
  return kept;
}

bool same_shape(const Queue& a, const Queue& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].kind != b[i].kind) return false;
  return true;
}

}  // namespace

pen::test::FakeCuda& pen::test::fake_cuda() {
  static FakeCuda state;
  return state;
}

// There is code in this build for every GPU.
cudaError_t pen::kernels::cuda::probe_kernels() { return cudaSuccess; }

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(last, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaErrorMemoryAllocation ? "out of memory" : "an error of the fake";
}
const char* cudaGetErrorName(cudaError_t) { return "fake"; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* index) { return *index = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) { return *p = {}, cudaSuccess; }

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  *p = new_block(bytes);
  return *p ? cudaSuccess : fails(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* p) {
  if (one_refuses("cudaFree")) return fails(cudaErrorStreamCaptureUnsupported);
  run_all();
  free_block(p);
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t s) {
  if (refuses(of(s), "cudaMallocAsync")) return fails(cudaErrorStreamCaptureUnsupported);
  auto& kept = pool()[bytes];
  if (kept.empty()) return cudaMalloc(p, bytes);
  *p = kept.back();
  kept.pop_back();
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t s) {
  if (refuses(of(s), "cudaFreeAsync")) return fails(cudaErrorStreamCaptureUnsupported);
  pool()[blocks().at(p)].push_back(p);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) { return *p = nullptr, cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  for (auto& [size, kept] : pool())
    for (void* p : std::exchange(kept, {})) free_block(p);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = *total = fake_cuda().memory_left;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  pinned().insert(*p = std::malloc(bytes));
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
  pinned().erase(p);
  std::free(p);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  auto* made = new Stream;
  streams().insert(made);
  *s = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  streams().erase(of(s));
  delete of(s);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (refuses(of(s), "cudaStreamSynchronize")) return fails(cudaErrorStreamCaptureUnsupported);
  run(of(s));
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (one_refuses("cudaDeviceSynchronize")) return fails(cudaErrorStreamCaptureUnsupported);
  run_all();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  if (refuses(of(s), "cudaStreamWaitEvent")) return fails(cudaErrorStreamCaptureIsolation);
  if (of(e)->stream && of(e)->stream != of(s)) run(of(e)->stream);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* e) {
  *e = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { return cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete of(e);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  if (refuses(of(s), "cudaEventRecord")) return fails(cudaErrorStreamCaptureUnsupported);
  of(e)->stream = of(s);
  return cudaSuccess;
}
// More than the event waits for, never less; what is being captured is not queued.
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (of(e)->stream) run(of(e)->stream);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { return *ms = 1, cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t s) {
  const void* host = kind == cudaMemcpyHostToDevice ? from : kind == cudaMemcpyDeviceToHost ? to : nullptr;
  if (host && (on_device(host) || !on_device(host == from ? to : from))) return fails(cudaErrorInvalidValue);
  bool is_pinned = false;
  for (const void* p : pinned())
    is_pinned = is_pinned || (p <= host && host < static_cast<const char*>(p) + (std::size_t{1} << 20));
  if (host && !is_pinned) {
    if (refuses(of(s), "a copy of pageable memory")) return fails(cudaErrorStreamCaptureUnsupported);
    if (kind == cudaMemcpyHostToDevice) {  // read before the call returns
      auto bytes_now =
          std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
      queue(of(s), {'c', [=] { std::memcpy(to, bytes_now->data(), bytes); }});
      return cudaSuccess;
    }
  }
  queue(of(s), {'c', [=] { std::memmove(to, from, bytes); }});
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes, cudaStream_t s) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s);
}
cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t s) {
  queue(of(s), {'s', [=] { std::memset(p, value, bytes); }});
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  if (of(s)->capturing) return fails(cudaErrorIllegalState);
  of(s)->capturing = true, of(s)->invalid = false;
  of(s)->captured.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  *g = nullptr;
  of(s)->capturing = false;
  if (of(s)->invalid) return fails(cudaErrorStreamCaptureInvalidated);
  ++fake_cuda().graphs;
  *g = reinterpret_cast<cudaGraph_t>(new Queue(std::exchange(of(s)->captured, {})));
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t*, std::size_t* n) {
  return *n = of(g)->size(), cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  --fake_cuda().graphs;
  delete of(g);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long) {
  if (fake_cuda().refuse_instantiation) return fails(cudaErrorMemoryAllocation);
  ++fake_cuda().instantiated, ++fake_cuda().executables;
  *e = reinterpret_cast<cudaGraphExec_t>(new Queue(*of(g)));
  return cudaSuccess;
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t e, cudaGraph_t g, cudaGraphExecUpdateResultInfo*) {
  if (fake_cuda().refuse_update || !same_shape(*of(e), *of(g))) return fails(cudaErrorGraphExecUpdateFailure);
  *of(e) = *of(g);
  ++fake_cuda().updated;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  --fake_cuda().executables;
  delete of(e);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  if (refuses(of(s), "cudaGraphLaunch")) return fails(cudaErrorStreamCaptureUnsupported);
  ++fake_cuda().launched;
  for (const Work& w : *of(e)) of(s)->queued.push_back(w);
  return cudaSuccess;
}

}  // extern "C"
