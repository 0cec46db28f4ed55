// The recorder of CUDA graphs, with memory, streams and temporaries as they are on a GPU, on a fake runtime
// (fake_cuda.h) that minds the rules of captured streams. Built where CUDA is; needs no GPU.
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "kernels/cuda/recorder.h"
#include "kernels/cuda/status.h"
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
      to.set(i);
      CHECK(to.now() != i);
      recording.finish();
    }
    CHECK(fake_cuda().launched == before.launched + i);
    CHECK(to.read() == all(8, static_cast<char>(i)));
  }
  CHECK(fake_cuda().instantiated == before.instantiated + 1);
  CHECK(fake_cuda().updated == before.updated + 2);
  CHECK(recording_counts(0).graphs == counts.graphs + 3);
  CHECK(recording_counts(0).nodes == counts.nodes + 3);
  CHECK(recording_counts(0).instantiated == counts.instantiated + 1);
  { Recording nothing; }
  CHECK(recording_counts(0).graphs == counts.graphs + 3);
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

TEST_CASE("recorder: memory that is short is found among temporaries of the past, also in a recording") {
  const auto stream = static_cast<cudaStream_t>(device_stream(0));
  {
    Recording recording;
    const Temporary t(64 << 20, stream);
  }
  Bytes a(8);
  const std::size_t left = std::exchange(fake_cuda().memory_left, std::size_t{1} << 20);
  {
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
  fake_cuda().memory_left = left;
  CHECK(fake_cuda().refused.empty());
}

TEST_CASE("recorder: a capture that somebody made invalid is one clear error, and the next recording works") {
  Bytes a(8);
  const auto said = [](auto f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what()) + " | " + e.hint();
    }
    return std::string();
  };
  recording_begin(0);
  a.set(1);
  (void)cudaDeviceSynchronize();  // as a library might
  CHECK(fake_cuda().refused == "cudaDeviceSynchronize");
  const std::string invalid = said([] { recording_end(0); });
  CHECK(invalid.find("could not be recorded as a CUDA graph") != std::string::npos);
  CHECK(invalid.find("--cuda_graph") != std::string::npos);

  fake_cuda().refused.clear();
  for (int i = 0; i < 2; ++i) a.set(i);
  recording_begin(0);
  for (int i = 0; i < 29; ++i) a.set(i);  // of a shape that none had
  fake_cuda().refuse_instantiation = true;
  CHECK(said([] { recording_end(0); }).find("out of memory") != std::string::npos);
  fake_cuda().refuse_instantiation = false;
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
    for (int i = 0; i < nodes; ++i) a.set(i);
  };
  const std::int64_t before = fake_cuda().instantiated;
  for (int nodes = 1; nodes <= 20; ++nodes) {
    record(nodes);
    record(1);
    CHECK(a.read() == all(8, 0));
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
