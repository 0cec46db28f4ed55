// Recordings on the simulated GPU (simulated_gpu.cpp), where nothing that is recorded runs before its part is launched:
// a step as a graph equals one that goes kernel by kernel, to the bit, and whoever has to wait finds what it waits for.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"
#include "tensor/memory.h"
#include "tensor/ops.h"
#include "tests/simulated_gpu.h"
#include "tests/simulated_steps.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;
using kernels::RecordingCounts;
using kernels::device::Recording;

namespace {

RecordingCounts recorded() { return kernels::device::recording_counts(gpu); }

Tensor numbers(std::vector<float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, {n}, gpu);
}

void fill(Tensor& t, double value) { kernels::fill(context(t.device()), t.numel(), value, t.mutable_data<float>()); }

// Everything that a step changes.
void check_same(TinyStep& a, TinyStep& b) {
  CHECK(same_state(*a.classifier, copy_state(*b.classifier)));
  CHECK(values_of(a.masker->parameters()) == values_of(b.masker->parameters()));
  CHECK(values_of(a.sgd->state()) == values_of(b.sgd->state()));
  CHECK(values_of(a.adam->state()) == values_of(b.adam->state()));
  CHECK(a.draws.position() == b.draws.position());
}

struct Recorded {
  std::string name;
  TrainOptions options;
  DType inside;
  int uploads;
};
// Every kind of step in every type.
std::vector<Recorded> every_step() {
  std::vector<DType> types = sixteen();
  types.push_back(DType::f32);
  std::vector<Recorded> all;
  for (const Variant& v : variants())
    for (const DType inside : types) {
      Recorded r{str(v.name, ", ", name_of(inside)), v.options, inside, v.uploads};
      r.options.precision = precision_of(inside);
      all.push_back(r);
    }
  return all;
}
TrainOptions as_graph(TrainOptions options) {
  options.cuda_graph = true;
  return options;
}

}  // namespace

TEST_CASE("simulated: a recorded step is one graph, waits for nothing, takes no memory, and has the same bits") {
  for (const Recorded& r : every_step()) {
    CAPTURE(r.name);
    const PolicyScope scope(r.inside);
    TinyStep graph(as_graph(r.options), gpu), want(r.options, gpu);
    const StepBatch first = images(gpu), second = images(gpu, 2);
    std::int64_t instantiated = 0;
    for (int i = 0; i < 7; ++i) {
      const StepBatch& batch = i % 2 ? second : first;
      const auto before = simulated_counts();
      const RecordingCounts graphs = recorded();
      LateLog log = graph.step->queue(batch, i, graph.draws);
      const auto queued = simulated_counts();
      const std::int64_t launched = recorded().graphs - graphs.graphs;
      CHECK(launched == (i < 2 ? 0 : 1));
      if (i >= 2) {
        CHECK(queued.reads == before.reads);
        CHECK(queued.waits - before.waits <= 2);  // for slots that are done with: of a readout, and of uploads
        CHECK(queued.late_reads - before.late_reads == 1);
        CHECK(queued.uploads - before.uploads == r.uploads);
        // All kernels, and besides copies and zeros.
        CHECK(recorded().nodes - graphs.nodes > queued.kernels - before.kernels);
      }
      if (i >= 4) {
        CHECK(queued.allocations == before.allocations);
        CHECK(recorded().instantiated == instantiated);
      }
      instantiated = recorded().instantiated;
      CHECK(log.read() == want.step->train(batch, i, want.draws));
    }
    check_same(graph, want);
  }
}

TEST_CASE("simulated: recorded steps overlap, and validation and copies of weights may stand between them") {
  for (const Recorded& r : every_step()) {
    CAPTURE(r.name);
    const PolicyScope scope(r.inside);
    TinyStep graph(as_graph(r.options), gpu), want(r.options, gpu);
    const StepBatch batch = images(gpu), other = images(gpu, 2);
    const auto both = [&](auto&& f) {
      const auto got = f(graph);
      CHECK(got == f(want));
    };
    for (int i = 0; i < 3; ++i) {
      both([&](TinyStep& n) {
        // Where a classifier is frozen, the next clean pass crosses from one graph to another.
        LateLog a = n.step->queue(batch, 3 * i, n.draws, &other);
        LateLog b = n.step->queue(other, 3 * i + 1, n.draws, &batch);
        const StepLog late = b.read();
        return std::pair{a.read(), late};
      });
      both([&](TinyStep& n) { return n.step->validate(batch, n.draws); });
      both([&](TinyStep& n) { return values_of(n.classifier->parameters()); });
      both([&](TinyStep& n) { return n.step->train(batch, 3 * i + 2, n.draws); });
    }
    check_same(graph, want);
  }
}

TEST_CASE("simulated: CA that draws which step it takes, with states that are stored and folded on the way") {
  TrainOptions options = variants().back().options;
  options.prob_historic = 0.5;
  options.save_freq = 3;
  options.f_size = 2;
  std::vector<DType> types = sixteen();
  types.push_back(DType::f32);
  for (const DType inside : types) {
    CAPTURE(std::string(name_of(inside)));
    const PolicyScope scope(inside);
    options.precision = precision_of(inside);
    TinyStep graph(as_graph(options), gpu), want(options, gpu);
    const RecordingCounts before = recorded();
    for (int i = 0; i < 12; ++i) {
      const StepBatch batch = images(gpu, static_cast<float>(i) / 4);
      CHECK(graph.step->train(batch, i, graph.draws) == want.step->train(batch, i, want.draws));
    }
    check_same(graph, want);
    CHECK(recorded().graphs - before.graphs >= 10);
  }
}

TEST_CASE("simulated: an observer that looks at gradients cuts a recorded step and sees what it sees without") {
  for (const Recorded& r : every_step()) {
    CAPTURE(r.name);
    const PolicyScope scope(r.inside);
    TinyStep graph(as_graph(r.options), gpu), want(r.options, gpu);
    const auto watch = [](TinyStep& n, std::vector<std::vector<float>>& seen) {
      n.step->observer = [&](const char* stage) {
        const auto& of = std::string(stage) == "masker" ? n.masker->parameters() : n.classifier->parameters();
        for (const NamedTensor& p : of)
          if (p.tensor.grad().defined()) seen.push_back(p.tensor.grad().to_vector<float>());
      };
      n.step->mask_observer = [&](const Tensor& mask, const Tensor& gradient) {
        seen.push_back(mask.to_vector<float>());
        seen.push_back(gradient.to_vector<float>());
      };
    };
    std::vector<std::vector<float>> got, expected;
    watch(graph, got);
    watch(want, expected);
    const StepBatch batch = images(gpu);
    const RecordingCounts before = recorded();
    for (int i = 0; i < 4; ++i)
      CHECK(graph.step->train(batch, i, graph.draws) == want.step->train(batch, i, want.draws));
    CHECK(recorded().graphs - before.graphs > 2);
    CHECK(!got.empty());
    CHECK(got == expected);
  }
}

TEST_CASE("simulated: a batch of another size, and a loss that is not finite, in recorded steps") {
  for (const Recorded& r : every_step()) {
    CAPTURE(r.name);
    const PolicyScope scope(r.inside);
    TinyStep graph(as_graph(r.options), gpu), want(r.options, gpu);
    StepBatch smaller = images(gpu);
    smaller.images = ops::slice_batch(smaller.images, 0, 3);
    smaller.labels.pop_back();
    const std::vector<StepBatch> batches{images(gpu), images(gpu), images(gpu, std::numeric_limits<float>::infinity()),
                                         smaller, images(gpu)};
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const auto step = static_cast<std::int64_t>(i);
      const StepLog got = graph.step->train(batches[i], step, graph.draws),
                    expected = want.step->train(batches[i], step, want.draws);
      REQUIRE(got.size() == expected.size());
      for (std::size_t k = 0; k < got.size(); ++k) {
        CAPTURE(got[k].first);
        const bool same =
            got[k].second == expected[k].second || (std::isnan(got[k].second) && std::isnan(expected[k].second));
        CHECK(same);
      }
    }
    CHECK(values_of(graph.masker->parameters()) == values_of(want.masker->parameters()));
    CHECK(values_of(graph.classifier->parameters()) == values_of(want.classifier->parameters()));
  }
}

TEST_CASE("simulated: a recorded step that finds no memory is out of memory, and the next ones go on") {
  const Variant fix = variants()[0], ca = variants()[3];
  for (const Variant& v : {fix, ca}) {
    CAPTURE(v.name);
    TinyStep n(as_graph(v.options), gpu);
    const StepBatch batch = images(gpu);
    for (int i = 0; i < 4; ++i) n.step->train(batch, i, n.draws);
    // More than any block that the pools still have.
    StepBatch larger{Tensor::zeros({4, 256, 256, 3}, DType::f32, gpu), batch.labels};
    release_cached_memory(gpu);
    {
      const SimulatedShortage shortage(SimulatedShortage::Of::device);
      CHECK_THROWS_AS(n.step->train(larger, 4, n.draws), OutOfMemory);
    }
    const RecordingCounts before = recorded();
    const StepLog log = n.step->train(batch, 5, n.draws);
    CHECK(std::isfinite(figure(log, "masked_total___loss")));
    CHECK(recorded().graphs == before.graphs + 1);
  }
}

TEST_CASE(
    "simulated: a kernel without memory to work in gets what tensors keep, and is then out of memory as they are") {
  { const Tensor left = Tensor::zeros({1 << 24}, DType::f32, gpu); }  // a segment of its own
  const Tensor used = Tensor::zeros({1 << 20}, DType::f32, gpu);
  const std::uint64_t kept = memory_stats(gpu).cached;
  kernels::cuda::tell_shortage(0, 5 << 20, false);
  CHECK(memory_stats(gpu).cached + (1 << 26) <= kept);
  const auto said = [](std::size_t bytes) {
    try {
      kernels::cuda::tell_shortage(0, bytes, true);
    } catch (const OutOfMemory& e) {
      CHECK(e.asked() == bytes);
      CHECK(e.live() >= 4 << 20);
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(said(5 << 20).starts_with("out of memory on cuda:0: a kernel asked for 5.0 MiB, tensors hold "));
  CHECK(said(0).starts_with("out of memory on cuda:0: a CUDA graph asked for more, tensors hold "));
}

TEST_CASE("simulated: nothing that is recorded runs before somebody waits, and then all of it does, in order") {
  Tensor a = numbers({1, 2, 3}), b = numbers({0, 0, 0});
  const RecordingCounts before = recorded();
  std::vector<float> host{7, 8, 9};
  Tensor sent;
  {
    Recording recording(gpu);
    fill(a, 4);
    fill(b, 5);
    CHECK(recorded().graphs == before.graphs);
    CHECK(a.to_vector<float>() == std::vector<float>(3, 4.0f));  // waits: the first part
    CHECK(recorded().graphs == before.graphs + 1);
    CHECK(b.to_vector<float>() == std::vector<float>(3, 5.0f));
    CHECK(recorded().graphs == before.graphs + 1);  // nothing was left
    sent = numbers(host);
    host.assign(3, 0);  // what was sent is what was there when it was
    fill(b, 6);
    recording.finish();
    CHECK(recorded().graphs == before.graphs + 2);
    fill(b, 8);
    recording.finish();  // once
    CHECK(recorded().graphs == before.graphs + 2);
  }
  CHECK(sent.to_vector<float>() == std::vector<float>{7, 8, 9});
  CHECK(b.to_vector<float>() == std::vector<float>(3, 8.0f));
  CHECK(recorded().nodes - before.nodes == 4);
}

TEST_CASE("simulated: memory that goes back to the GPU, and a mark, send what uses it first") {
  Tensor kept = numbers({0});
  release_cached_memory(gpu);
  const RecordingCounts before = recorded();
  Recording recording(gpu);
  {
    Tensor large = Tensor::zeros({1 << 22}, DType::f32, gpu);
    fill(large, 3);
    kernels::device::copy(gpu, kept.mutable_bytes(), gpu, large.bytes(), sizeof(float), kernels::device::stream(gpu));
  }
  release_cached_memory(gpu);
  CHECK(recorded().graphs == before.graphs + 1);
  CHECK(kept.to_vector<float>() == std::vector<float>{3});
  fill(kept, 9);
  kernels::device::Mark mark(gpu);
  mark.record(kernels::device::stream(gpu));
  CHECK(recorded().graphs == before.graphs + 2);
  fill(kept, 10);
  kernels::device::synchronize(gpu);
  CHECK(recorded().graphs == before.graphs + 3);
}

TEST_CASE("simulated: one recording at a time, and an error leaves none behind") {
  Tensor a = numbers({1});
  {
    const Recording outer(gpu);
    CHECK_THROWS_AS(Recording inner(gpu), Error);
    fill(a, 2);
  }
  CHECK(a.to_vector<float>() == std::vector<float>{2});
  const RecordingCounts before = recorded();
  try {
    const Recording recording(gpu);
    fill(a, 3);
    throw std::runtime_error("on the way");
  } catch (const std::runtime_error&) {
  }
  CHECK(recorded().graphs == before.graphs + 1);
  fill(a, 4);  // at once again
  CHECK(recorded().graphs == before.graphs + 1);
  CHECK(a.to_vector<float>() == std::vector<float>{4});
  const Recording nothing{Device{}};  // the CPU
  CHECK(kernels::device::recording_counts(Device{}).graphs == 0);
}
