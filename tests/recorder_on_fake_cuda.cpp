// The recorder of CUDA graphs, with memory, streams and temporaries as they are on a GPU, on a fake runtime
// (fake_cuda.h) that minds the rules of captured streams. Built where CUDA is; needs no GPU.
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/recorder.h"
#include "kernels/cuda/status.h"
#include "kernels/kernels.h"
#include "tests/fake_cuda.h"

using namespace pen;
using namespace pen::kernels::cuda;
using kernels::RecordingCounts;
using pen::test::fake_cuda;

namespace {

constexpr Device here{Device::Kind::cuda, 0}, host{};

struct Recording {
  Recording() { recording_begin(0); }
  ~Recording() {
    if (open) recording_end(0);
  }
  void finish() {
    open = false;
    recording_end(0);
  }
  bool open = true;
};

// Bytes on the GPU.
class Bytes {
 public:
  explicit Bytes(std::size_t n, int value = 0) : n_(n), memory_(device_allocate(0, n)) {
    REQUIRE(memory_);
    set(value);
  }
  ~Bytes() { device_release(0, memory_); }
  Bytes(const Bytes&) = delete;
  void set(int value) { PEN_CUDA(cudaMemsetAsync(memory_, value, n_, static_cast<cudaStream_t>(device_stream(0)))); }
  void copy(const Bytes& from) { device_copy(here, memory_, here, from.memory_, n_, nullptr); }
  void send(const std::vector<char>& values) {
    device_copy(here, memory_, host, values.data(), values.size(), nullptr);
  }
  // What there is when everything that was launched has run, without waiting as a program would.
  int now() const { return *static_cast<const char*>(memory_); }
  std::vector<char> read() const {
    std::vector<char> out(n_);
    device_copy(host, out.data(), here, memory_, n_, nullptr);
    return out;
  }
  void* get() const { return memory_; }

 private:
  std::size_t n_;
  void* memory_;
};

// As many nodes as make a graph that is kept; the last sets the value.
void work(Bytes& on, int value) {
  for (int i = 0; i < 15; ++i) on.set(99);
  on.set(value);
}

// What a call says when it throws.
template <class F>
std::string said(F f) {
  try {
    f();
  } catch (const Error& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return {};
}

std::vector<char> all(std::size_t n, char value) { return std::vector<char>(n, value); }

}  // namespace

TEST_CASE("recorder: nothing runs before its graph is launched; one of the same shape takes new parameters") {
  Bytes a(8), b(8);
  device_synchronize(0);
  const auto before = fake_cuda();
  const RecordingCounts counts = recording_counts(0);
  for (int i = 1; i <= 3; ++i) {
    Bytes& to = i % 2 ? a : b;
    {
      Recording recording;
      work(to, i);
      CHECK(to.now() != i);
      recording.finish();
    }
    CHECK(fake_cuda().launched == before.launched + i);
    CHECK(to.read() == all(8, static_cast<char>(i)));
  }
  CHECK(fake_cuda().instantiated == before.instantiated + 1);
  CHECK(fake_cuda().updated == before.updated + 2);
  CHECK(recording_counts(0).graphs == counts.graphs + 3);
  CHECK(recording_counts(0).nodes == counts.nodes + 3 * 16);
  CHECK(recording_counts(0).instantiated == counts.instantiated + 1);
  // A driver may refuse an update for reasons of its own.
  fake_cuda().refuse_update = true;
  {
    Recording recording;
    work(a, 7);
  }
  fake_cuda().refuse_update = false;
  CHECK(a.read() == all(8, 7));
  CHECK(recording_counts(0).instantiated == counts.instantiated + 2);
  { Recording nothing; }
  CHECK(recording_counts(0).graphs == counts.graphs + 4);
  // A small part is not kept.
  const std::int64_t kept = fake_cuda().executables;
  {
    Recording recording;
    a.set(3);
  }
  CHECK(a.read() == all(8, 3));
  CHECK(fake_cuda().executables == kept);
  CHECK(fake_cuda().graphs == before.graphs);
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: whoever waits, frees, or meets another stream sends what there is and is not refused") {
  Bytes a(8), b(8);
  auto freed = std::make_unique<Bytes>(8, 5);
  const RecordingCounts counts = recording_counts(0);
  void* const event = event_create(0);
  {
    Recording recording;
    a.set(1);
    CHECK(a.read() == all(8, 1));
    a.set(2);
    event_record(0, event, device_stream(0));
    event_wait(event);
    CHECK(a.now() == 2);
    a.set(3);
    event_hold(0, event, device_stream(0));
    a.set(4);
    event_record(0, event, device_copy_stream(0));  // of a stream that is not recorded
    CHECK(recording_counts(0).graphs == counts.graphs + 3);
    device_synchronize(0);
    CHECK(a.now() == 4);
    b.copy(*freed);
    freed.reset();  // what was recorded reads it
    CHECK(b.now() == 5);
    b.set(6);
    {
      const Aside aside(0);
      TimedSpan span;
      span.begin(static_cast<cudaStream_t>(device_stream(0)));
      CHECK(span.end(static_cast<cudaStream_t>(device_stream(0))) == 1);
      const Aside again(0);  // nothing more to do
    }
    CHECK(b.now() == 6);
  }
  event_destroy(event);
  CHECK(recording_counts(0).graphs == counts.graphs + 6);
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: what is sent to the GPU is what it was at that time, two recordings long and more") {
  const std::size_t n = 600 << 10;
  std::vector<std::unique_ptr<Bytes>> to;
  for (int i = 0; i < 10; ++i) to.push_back(std::make_unique<Bytes>(n));
  device_synchronize(0);
  std::vector<char> values(n);
  for (int i = 0; i < 10; i += 2) {
    Recording recording;
    for (int k = i; k < i + 2; ++k) {  // the second finds no room in the staged memory
      values.assign(n, static_cast<char>(k + 1));
      to[static_cast<std::size_t>(k)]->send(values);
    }
    values.assign(n, 0);
    recording.finish();
  }
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    CHECK(to[static_cast<std::size_t>(i)]->read() == all(n, static_cast<char>(i + 1)));
  }
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: temporaries of a recording are its own blocks, and serve again") {
  const auto stream = static_cast<cudaStream_t>(device_stream(0));
  auto earlier = std::make_unique<Temporary>(1000, stream);  // of the driver's pool
  std::unique_ptr<Temporary> later;
  void* first = nullptr;
  std::int64_t blocks = 0;
  for (int i = 0; i < 3; ++i) {
    Recording recording;
    {
      const Temporary t(5 << 20, stream), small(100, stream);
      CHECK(t.as<void>() != small.as<void>());
      if (i == 0) first = t.as<void>();
      CHECK(t.as<void>() == first);
    }
    if (i == 1) later = std::make_unique<Temporary>(3000, stream);
    if (i == 2) earlier.reset();  // given back to the pool, beside the recording
    recording.finish();
    if (i == 1) blocks = fake_cuda().blocks;
  }
  CHECK(fake_cuda().blocks == blocks);
  later.reset();  // outside of any recording
  CHECK(fake_cuda().blocks == blocks);
  {
    Recording recording;
    const Temporary t(3000, stream);
    CHECK(fake_cuda().blocks == blocks);
    Temporary moved(64, stream);
    moved = Temporary(128, stream);
  }
  CHECK(fake_cuda().refused.empty());
}

namespace {

// The GPU has only so much left, for its length.
class Left {
 public:
  explicit Left(std::size_t bytes) : before_(std::exchange(fake_cuda().memory_left, bytes)), at_(bytes) {}
  ~Left() { fake_cuda().memory_left += before_ - at_; }

 private:
  std::size_t before_, at_;
};

// Nothing is kept of temporaries of the past.
void forget_the_past() {
  device_synchronize(0);
  Recorder::of(0).trim();
  PEN_CUDA(cudaMemPoolTrimTo(nullptr, 0));
}

void* cached = nullptr;  // by somebody above, until he is told
std::vector<std::pair<std::uint64_t, bool>> told;
void give_back(Device, std::uint64_t bytes, bool last) {
  told.emplace_back(bytes, last);
  if (cached) device_release(0, std::exchange(cached, nullptr));
  if (last) fail(ErrorKind::device, "all is taken");
}

}  // namespace

TEST_CASE("recorder: memory that is short is found among temporaries of the past, in a recording and beside one") {
  const auto stream = static_cast<cudaStream_t>(device_stream(0));
  {
    Recording recording;
    const Temporary t(64 << 20, stream);
  }
  Bytes a(8);
  {
    const Left left(1 << 20);
    Recording recording;
    a.set(1);
    void* const memory = device_allocate(0, 32 << 20);
    CHECK(memory != nullptr);
    CHECK(a.now() == 1);
    device_release(0, memory);
    CHECK(device_allocate(0, std::size_t{1} << 40) == nullptr);
    CHECK_THROWS_AS(Temporary(std::size_t{1} << 40, stream), Error);
    a.set(2);
  }
  CHECK(a.read() == all(8, 2));
  {
    Recording recording;
    const Temporary t(64 << 20, stream);
  }
  {
    const Left left(1 << 20);
    const Temporary beside(32 << 20, stream);  // of the driver's pool, which gets the recorder's block
    CHECK(beside.as<void>() != nullptr);
  }
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE(
    "recorder: a kernel without memory to work in asks those above for what they keep, then gives up as they do") {
  const auto stream = static_cast<cudaStream_t>(device_stream(0));
  kernels::device::on_shortage(give_back);
  for (const bool recorded : {true, false}) {
    CAPTURE(recorded);
    Bytes a(8);
    forget_the_past();
    cached = device_allocate(0, 64 << 20);
    told.clear();
    std::optional<Recording> recording;
    if (recorded) recording.emplace();
    {
      const Left left(1 << 20);
      a.set(5);
      const Temporary t(32 << 20, stream);
      CHECK(told == std::vector{std::pair{std::uint64_t{32} << 20, false}});
      CHECK(said([&] { const Temporary more(std::size_t{1} << 40, stream); }) == "all is taken | ");
      CHECK(told.size() == 3);
      CHECK(told.back().second);
    }
    if (recording) recording->finish();
    CHECK(a.read() == all(8, 5));
  }
  // Nor is there any for the graph itself.
  Bytes a(8);
  told.clear();
  fake_cuda().refuse_update = fake_cuda().refuse_instantiation = true;
  recording_begin(0);
  work(a, 1);
  CHECK(said([] { recording_end(0); }) == "all is taken | ");
  CHECK(told == std::vector{std::pair{std::uint64_t{0}, true}});
  forget_the_past();
  // A tensor that needs the part to be launched first is told that there is no memory, as without a recording.
  const Left left(1 << 20);
  recording_begin(0);
  work(a, 1);
  CHECK(device_allocate(0, 2 << 20) == nullptr);
  CHECK(said([] { recording_end(0); }) == "all is taken | ");
  fake_cuda().refuse_update = fake_cuda().refuse_instantiation = false;
  kernels::device::on_shortage(nullptr);
  CHECK(fake_cuda().graphs == 0);
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: a part that was lost is an error at the end, whoever swallowed it on the way") {
  const auto stream = static_cast<cudaStream_t>(device_stream(0));
  Bytes a(8);
  for (const std::string how : {"memory", "temporary"}) {
    CAPTURE(how);
    void* const memory = device_allocate(0, 64);
    auto temporary = std::make_unique<Temporary>(64, stream);
    recording_begin(0);
    work(a, 4);
    fake_cuda().refuse_update = fake_cuda().refuse_instantiation = true;
    if (how == "memory")
      device_release(0, memory);
    else
      temporary.reset();
    fake_cuda().refuse_update = fake_cuda().refuse_instantiation = false;
    a.set(5);  // what follows may go on
    CHECK(said([] { recording_end(0); }).find("there is none for a CUDA graph") != std::string::npos);
    {
      Recording recording;
      a.set(6);
    }
    CHECK(a.read() == all(8, 6));
  }
}

TEST_CASE("recorder: after an error at the end, and a second recording that was refused, what is sent stays sound") {
  const std::size_t n = 600 << 10;
  std::vector<std::unique_ptr<Bytes>> to;
  for (int i = 0; i < 5; ++i) to.push_back(std::make_unique<Bytes>(n));
  Bytes a(8);
  device_synchronize(0);
  const auto send = [&](int i) { to[static_cast<std::size_t>(i)]->send(all(n, static_cast<char>(i + 1))); };
  recording_begin(0);
  send(0);
  { const Aside aside(0); }  // launched, not run
  a.set(1);
  (void)cudaDeviceSynchronize();
  CHECK_THROWS_AS(recording_end(0), Error);
  for (int i = 1; i < 4; ++i) {
    Recording recording;
    send(i);
    if (i == 2) CHECK_THROWS_AS(recording_begin(0), Error);
  }
  {
    Recording recording;
    send(4);
  }
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(to[static_cast<std::size_t>(i)]->read() == all(n, static_cast<char>(i + 1)));
  }
  fake_cuda().refused.clear();
}

TEST_CASE("recorder: a capture that somebody made invalid is one clear error, and the next recording works") {
  Bytes a(8);
  recording_begin(0);
  a.set(1);
  (void)cudaDeviceSynchronize();  // as a library might
  CHECK(fake_cuda().refused == "cudaDeviceSynchronize");
  const std::string invalid = said([] { recording_end(0); });
  CHECK(invalid.find("could not be recorded as a CUDA graph") != std::string::npos);
  CHECK(invalid.find("--cuda_graph") != std::string::npos);
  fake_cuda().refused.clear();
  CHECK(said([] { recording_end(0); }).find("no recording") != std::string::npos);
  {
    Recording recording;
    CHECK(said([] { recording_begin(0); }).find("under way") != std::string::npos);
    a.set(7);
  }
  CHECK(a.read() == all(8, 7));
  CHECK(fake_cuda().graphs == 0);
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: of many shapes a few executable graphs are kept, those used last") {
  Bytes a(8);
  const auto record = [&](int nodes) {
    Recording recording;
    for (int i = 0; i < 20 + nodes; ++i) a.set(i);
  };
  const std::int64_t before = fake_cuda().instantiated;
  for (int nodes = 1; nodes <= 20; ++nodes) {
    record(nodes);
    record(1);
    CHECK(a.read() == all(8, 20));
  }
  CHECK(fake_cuda().executables <= 8);
  CHECK(fake_cuda().instantiated <= before + 20);
  const std::int64_t instantiated = fake_cuda().instantiated;
  record(1);
  record(20);
  CHECK(fake_cuda().instantiated == instantiated);
  record(2);
  CHECK(fake_cuda().instantiated == instantiated + 1);
  device_synchronize(0);
}
