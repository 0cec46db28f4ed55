// A GPU made of addresses that nobody can read or write: behind each lies ordinary memory that only its own kernels and
// copies find. Linked in front of the CUDA backend, it makes "cuda:0" exist on every machine: each access to device
// memory from outside is a segmentation fault, each host pointer that is given to a kernel an error. What runs on it
// handles its memory as a GPU needs it; the bodies are the single-source ones that CUDA compiles too (cuBLAS and cuDNN
// are replaced by plain loops).
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kernels/cpu/exec.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"
#include "kernels/shared/all.inl"
#include "kernels/shared/conv.inl"
#include "kernels/shared/norm_train.inl"
#include "kernels/shared/pool.inl"
#include "tests/simulated_gpu.h"

namespace pen::kernels::cuda {
namespace {

// Two ranges of the same size: the closed one gives the addresses, the open one has the memory.
class Arena {
 public:
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t size = (bytes + 255) / 256 * 256;
    if (auto& list = free_[size]; !list.empty()) {
      void* block = list.back();
      list.pop_back();
      return block;
    }
    if (size > reserved - used_) return nullptr;
    void* block = closed_ + used_;
    used_ += size;
    sizes_[block] = size;
    return block;
  }
  void give(void* block) {
    const std::lock_guard lock(mutex_);
    free_[sizes_.at(block)].push_back(block);
  }
  std::uint64_t left() {
    const std::lock_guard lock(mutex_);
    return reserved - used_;
  }
  bool owns(const void* p) const { return p >= closed_ && p < closed_ + reserved; }
  // The memory behind an address of ours.
  std::uint8_t* behind(const void* p) const { return open_ + (static_cast<const std::uint8_t*>(p) - closed_); }

 private:
  static constexpr std::size_t reserved = std::size_t{1} << 36;
  static std::uint8_t* reserve(int protection) {
    void* base = ::mmap(nullptr, reserved, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PEN_CHECK_AS(device, base != MAP_FAILED, "simulated GPU: no address space");
    return static_cast<std::uint8_t*>(base);
  }
  std::uint8_t* const closed_ = reserve(PROT_NONE);
  std::uint8_t* const open_ = reserve(PROT_READ | PROT_WRITE);
  std::size_t used_ = 0;
  std::map<std::size_t, std::vector<void*>> free_;
  std::map<void*, std::size_t> sizes_;
  std::mutex mutex_;
};

Arena& arena() {
  static auto& a = *new Arena;
  return a;
}

struct Counters {
  std::atomic<std::int64_t> reads = 0, late_reads = 0, waits = 0, allocations = 0, kernels = 0, uploads = 0;
};
Counters counters;
std::atomic<bool> no_device_memory = false, no_pinned_memory = false;

// What is queued while a recording is under way, until a part of it is launched: nothing runs before.
class Recorded {
 public:
  void begin() {
    PEN_CHECK_AS(device, !on_, "a recording is under way");
    on_ = true;
  }
  void end() {
    PEN_CHECK_AS(device, on_, "no recording is under way");
    launch();
    on_ = false;
  }
  template <class F>
  void run_or_keep(F f) {
    if (on_)
      work_.push_back(std::move(f));
    else
      f();
  }
  void launch() {
    if (work_.empty()) return;
    ++counts_.graphs;
    counts_.nodes += static_cast<std::int64_t>(work_.size());
    if (shapes_.insert(work_.size()).second) ++counts_.instantiated;
    const std::vector<std::function<void()>> part = std::exchange(work_, {});
    for (const auto& f : part) f();
  }
  const RecordingCounts& counts() const { return counts_; }

 private:
  bool on_ = false;
  std::vector<std::function<void()>> work_;
  std::set<std::size_t> shapes_;
  RecordingCounts counts_;
};
Recorded& recorded() {
  static auto& all = *new Recorded;
  return all;
}

// Late copies arrive when somebody has waited for an event behind them, and not before: until then the memory that they
// go to is poisoned.
class LateCopies {
 public:
  void add(void* to, const std::uint8_t* from, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    copies_.push_back({++last_, to, {from, from + bytes}});
    std::memset(to, 0xFF, bytes);
  }
  std::int64_t last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  void arrive(std::int64_t until) {
    const std::lock_guard lock(mutex_);
    for (; !copies_.empty() && copies_.front().number <= until; copies_.pop_front())
      std::memcpy(copies_.front().to, copies_.front().bytes.data(), copies_.front().bytes.size());
  }

 private:
  struct Copy {
    std::int64_t number;
    void* to;
    std::vector<std::uint8_t> bytes;
  };
  std::mutex mutex_;
  std::int64_t last_ = 0;
  std::deque<Copy> copies_;
};
LateCopies& late_copies() {
  static auto& all = *new LateCopies;
  return all;
}

// Calls a body with the memory behind each pointer; a context must be of this GPU.
template <class Body>
class Launch {
 public:
  Launch(const char* kernel, Body body) : kernel_(kernel), body_(body) {}
  template <class... Arguments>
  void operator()(const Context& ctx, const Arguments&... arguments) const {
    check(ctx);
    ++counters.kernels;
    recorded().run_or_keep([body = body_, ctx, given = std::tuple(resolved(arguments)...)] {
      std::apply([&](const auto&... a) { body(ctx, a...); }, given);
    });
  }

 private:
  template <class T>
  const T& resolved(const T& value) const {
    return value;
  }
  template <class T>
  T* resolved(T* const& pointer) const {
    if (!pointer) return nullptr;
    PEN_CHECK_AS(device, arena().owns(pointer), kernel_, ": a pointer to host memory");
    return reinterpret_cast<T*>(arena().behind(pointer));
  }
  void check(const Context& ctx) const {
    if (ctx.device != Device{Device::Kind::cuda, 0})
      fail(ErrorKind::device, str(kernel_, ": cuda:", ctx.device.index, ": no such GPU; 1 found"), "use cuda:0");
    PEN_CHECK_AS(device, ctx.stream == nullptr || ctx.stream == device_stream(0), kernel_, ": an unknown stream");
  }
  const char* kernel_;
  Body body_;
};

void check_index(int index) { PEN_CHECK_AS(device, index == 0, "cuda:", index, ": no such GPU; 1 found"); }

// Rows of sums as a GPU's twin has them: apart from the result, so that a residual may be the result.
template <class T>
std::vector<T> room(std::int64_t n) {
  return std::vector<T>(static_cast<std::size_t>(n));
}

}  // namespace

bool built() { return true; }
std::string build_description() { return "simulated"; }
int device_count() { return 1; }
std::string device_description(int index) {
  check_index(index);
  return "simulated GPU (ordinary memory, protected)";
}
void* device_allocate(int index, std::size_t bytes) {
  check_index(index);
  ++counters.allocations;
  return bytes && !no_device_memory ? arena().take(bytes) : nullptr;
}
std::uint64_t device_free_memory(int index) {
  check_index(index);
  return arena().left();
}
void device_release(int, void* memory) noexcept {
  if (!memory) return;
  recorded().launch();  // what has been recorded may use it
  arena().give(memory);
}
void device_copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  PEN_CHECK_AS(device, to.is_cuda() || from.is_cuda(), "device_copy: neither side is on a GPU");
  PEN_CHECK_AS(device, to.is_cuda() == arena().owns(destination) && from.is_cuda() == arena().owns(source),
               "device_copy: a pointer is not of the device that it was said to be of");
  if (!to.is_cuda()) {
    ++counters.reads;
    recorded().launch();
    late_copies().arrive(late_copies().last());
    std::memcpy(destination, arena().behind(source), bytes);
    return;
  }
  std::uint8_t* const there = arena().behind(destination);
  if (!from.is_cuda()) {
    ++counters.uploads;
    const auto* const first = static_cast<const std::uint8_t*>(source);
    if (stream != device_stream(0) && stream) {  // another stream, which is not recorded
      std::memcpy(there, first, bytes);
    } else {
      recorded().run_or_keep([there, staged = std::vector<std::uint8_t>(first, first + bytes)] {
        std::memcpy(there, staged.data(), staged.size());
      });
    }
    return;
  }
  recorded().run_or_keep([there, here = arena().behind(source), bytes] { std::memmove(there, here, bytes); });
}
void device_read_later(int index, void* pinned, const void* source, std::size_t bytes, void*) {
  check_index(index);
  if (bytes == 0) return;
  PEN_CHECK_AS(device, !arena().owns(pinned) && arena().owns(source), "device_read_later: a pointer to the other side");
  ++counters.late_reads;
  recorded().run_or_keep([pinned, here = arena().behind(source), bytes] { late_copies().add(pinned, here, bytes); });
}
void device_zero(int index, void* memory, std::size_t bytes, void*) {
  check_index(index);
  if (bytes == 0) return;
  PEN_CHECK_AS(device, arena().owns(memory), "device_zero: a pointer to host memory");
  recorded().run_or_keep([there = arena().behind(memory), bytes] { std::memset(there, 0, bytes); });
}
void device_synchronize(int index) {
  check_index(index);
  ++counters.waits;
  recorded().launch();
  late_copies().arrive(late_copies().last());
}
void* device_stream(int index) {
  check_index(index);
  static int stream = 0;
  return &stream;
}

void* device_copy_stream(int index) {
  check_index(index);
  static int stream = 0;
  return &stream;
}
void* pinned_allocate(int index, std::size_t bytes) {
  check_index(index);
  ++counters.allocations;
  PEN_CHECK_AS(device, !no_pinned_memory, "pinned_allocate: no memory");
  return bytes ? std::malloc(bytes) : nullptr;
}
void pinned_release(void* memory) noexcept { std::free(memory); }
void* event_create(int index) {
  check_index(index);
  return new std::int64_t(0);
}
void event_destroy(void* event) noexcept { delete static_cast<std::int64_t*>(event); }
// Work is done when its call returns, but for late copies and what is being recorded. A mark of a stream that is
// recorded is one of what has been launched.
void event_record(int, void* event, void*) {
  recorded().launch();
  *static_cast<std::int64_t*>(event) = late_copies().last();
}
void event_hold(int, void*, void*) { recorded().launch(); }
void event_wait(void* event) {
  ++counters.waits;
  late_copies().arrive(*static_cast<std::int64_t*>(event));
}
void recording_begin(int index) {
  check_index(index);
  recorded().begin();
}
void recording_end(int) { recorded().end(); }
RecordingCounts recording_counts(int) { return recorded().counts(); }

#define PEN_KERNEL_OF(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments)                                        \
  void name parameters {                                                                      \
    Launch(#name, [](const auto&... given) { shared::name<cpu::Exec>(given...); }) arguments; \
  }
#define PEN_KERNEL_tuned PEN_KERNEL_shared
#include "kernels/every_type.def"
#undef PEN_KERNEL_OF

// The library kernels: the bodies that CUDA has for them, plain loops for cuBLAS.
namespace body {

#define PEN_SAME(name)                                    \
  template <class... Arguments>                           \
  void name(const Context& ctx, Arguments... arguments) { \
    shared::name<cpu::Exec>(ctx, arguments...);           \
  }
PEN_SAME(conv2d_fwd)
PEN_SAME(conv2d_bwd_data)
PEN_SAME(conv2d_bwd_weight)
PEN_SAME(batch_norm_fwd)
PEN_SAME(batch_norm_bwd)
PEN_SAME(max_pool_fwd)
PEN_SAME(max_pool_bwd)
PEN_SAME(avg_pool_fwd)
PEN_SAME(avg_pool_bwd)
#undef PEN_SAME

template <class T>
void matmul(const Context& ctx, const Matmul& d, const T* a, const T* b, T* c, Accum accum) {
  ref::matmul(ctx, d, a, b, c, accum);
}

template <class T>
void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b,
                      const T* residual, bool relu, T* y, std::uint8_t* positive) {
  using wide = wide_t<T>;
  const std::int64_t rows = d.n * d.p * d.q;
  std::vector<wide> sums = room<wide>(rows * d.k);
  shared::conv2d_fwd<cpu::Exec>(ctx, d, x, w, static_cast<const T*>(nullptr), sums.data());
  shared::conv_epilogue<cpu::Exec, T>(ctx, rows, d.k, d.relu_slope, sums.data(), b, residual, relu, y, positive);
}
template <class T>
void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                           const std::uint8_t* open, T* dx) {
  std::vector<wide_t<T>> sums = room<wide_t<T>>(d.n * d.h * d.w * d.c);
  shared::conv2d_bwd_data<cpu::Exec>(ctx, d, dy, w, sums.data());
  shared::add_and_gate<cpu::Exec, T>(ctx, static_cast<std::int64_t>(sums.size()), d.relu_slope, sums.data(), residual,
                                     open, dx);
}

template <class T>
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out,
                     const T* w, const wide_t<T>* x, wide_t<T>* dm) {
  if constexpr (std::is_same_v<T, double>)
    return shared::conv2d_bwd_mask<cpu::Exec>(ctx, d, scale, dy_in, dy_out, w, x, dm);
  std::vector<T> difference = room<T>(d.n * d.p * d.q * d.k), dx = room<T>(d.n * d.h * d.w * d.c);
  shared::add_scaled<cpu::Exec>(ctx, static_cast<std::int64_t>(difference.size()), 1.0, dy_in, -1.0, dy_out,
                                difference.data());
  shared::conv2d_bwd_data<cpu::Exec>(ctx, d, difference.data(), w, dx.data());
  shared::mask_of_data<cpu::Exec>(ctx, {d.n * (d.h / scale), d.w / scale, scale}, d.c, x,
                                  static_cast<const T*>(dx.data()), dm);
}

}  // namespace body

#define PEN_KERNEL_OF(kind, name, parameters, arguments) PEN_RUN_##kind(name, parameters, arguments)
#define PEN_RUN_shared(name, parameters, arguments)
#define PEN_RUN_tuned(name, parameters, arguments)
#define PEN_RUN_library(name, parameters, arguments)                             \
  void name parameters {                                                         \
    Launch(#name, [](const auto&... given) { body::name(given...); }) arguments; \
  }
#include "kernels/every_type.def"

}  // namespace pen::kernels::cuda

pen::test::SimulatedCounts pen::test::simulated_counts() {
  const auto& c = pen::kernels::cuda::counters;
  return {c.reads, c.late_reads, c.waits, c.allocations, c.kernels, c.uploads};
}

namespace {
std::atomic<bool>& flag_of(pen::test::SimulatedShortage::Of of) {
  using pen::test::SimulatedShortage;
  return of == SimulatedShortage::Of::device ? pen::kernels::cuda::no_device_memory
                                             : pen::kernels::cuda::no_pinned_memory;
}
}  // namespace
pen::test::SimulatedShortage::SimulatedShortage(Of of) : of_(of) { flag_of(of_) = true; }
pen::test::SimulatedShortage::~SimulatedShortage() { flag_of(of_) = false; }
