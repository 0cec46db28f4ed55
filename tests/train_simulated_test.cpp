// A training step on the simulated GPU (simulated_gpu.cpp): while it is queued nobody waits, reads or takes memory; its
// figures arrive in one late copy; a loss that is not finite changes no weight.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/memory.h"
#include "tensor/ops.h"
#include "tensor/readout.h"
#include "tests/simulated_gpu.h"
#include "tests/simulated_steps.h"
#include "train/run_state.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;

TEST_CASE("simulated: a queued step waits for nothing and takes no new memory; its log is one late copy") {
  for (const Variant& v : variants()) {
    CAPTURE(v.name);
    TinyStep n(v.options, gpu), want(v.options, Device{});
    const StepBatch there = images(gpu), here = images(Device{});
    for (int i = 0; i < 5; ++i) {
      const auto before = simulated_counts();
      const auto memory = memory_stats(gpu).system_allocations;
      LateLog log = n.step->queue(there, i, n.draws);
      const auto queued = simulated_counts();
      const StepLog expected = want.step->train(here, i, want.draws);
      if (i >= 3) {  // warm
        CHECK(queued.reads == before.reads);
        CHECK(queued.waits - before.waits <= 1);  // for the slot of a readout that was read long ago
        CHECK(queued.late_reads - before.late_reads == 1);
        // The labels, and target areas.
        CHECK(queued.uploads - before.uploads == v.uploads);
        CHECK(queued.allocations == before.allocations);
        CHECK(memory_stats(gpu).system_allocations == memory);
        CHECK(queued.kernels > before.kernels);
      }
      const StepLog got = log.read();
      CHECK(simulated_counts().reads == queued.reads);
      REQUIRE(got.size() == expected.size());
      for (std::size_t k = 0; k < got.size(); ++k) {
        CAPTURE(got[k].first);
        CHECK(got[k].first == expected[k].first);
        if (i == 0) CHECK(got[k].second == doctest::Approx(expected[k].second).epsilon(1e-3));
      }
    }
  }
}

TEST_CASE("simulated: a loss that is not finite is in the log and leaves all weights as they were, on both devices") {
  for (const Variant& v : variants())
    for (const Device device : {gpu, Device{}}) {
      CAPTURE(v.name);
      TinyStep n(v.options, device);
      n.step->train(images(device), 0, n.draws);
      const auto classifier = copy_state(*n.classifier), masker = copy_state(*n.masker);
      const auto moments = [&] { return std::pair{values_of(n.sgd->state()), values_of(n.adam->state())}; };
      const auto before = moments();
      const std::int64_t sgd_steps = n.sgd->steps(), adam_steps = n.adam->steps();
      const StepLog log = n.step->train(images(device, std::numeric_limits<float>::infinity()), 1, n.draws);
      bool seen = false;
      for (const auto& [name, value] : log) seen = seen || (name.ends_with("loss") && !std::isfinite(value));
      CHECK(seen);
      CHECK(same_state(*n.classifier, classifier));
      CHECK(same_state(*n.masker, masker));
      CHECK(moments() == before);
      // Refused updates count, because a GPU says too late that it refused.
      CHECK(n.adam->steps() == adam_steps + 1);
      const bool ca = !v.options.fixed_classifier;
      CHECK(n.sgd->steps() == sgd_steps + (ca ? v.options.prob_historic == 0 ? 2 : 1 : 0));
      n.step->train(images(device), 2, n.draws);
      CHECK_FALSE(same_state(*n.masker, masker));
    }
}

TEST_CASE("simulated: in CA a finite clean loss has taught the classifier when a masked one is not finite") {
  for (const Device device : {gpu, Device{}})
    for (const Variant& v : variants()) {
      if (v.options.fixed_classifier) continue;
      CAPTURE(v.name);
      TinyStep n(v.options, device);
      // Through the sigmoid the mask becomes NaN.
      Tensor weight = n.masker->parameters().at(0).tensor;
      std::vector<float> values = weight.to_vector<float>();
      values[0] = std::numeric_limits<float>::infinity();
      weight.copy_from(Tensor::from(values, weight.shape(), device));
      const auto masker = values_of(n.masker->parameters());
      const auto before = copy_state(*n.classifier);

      // The clean pass alone.
      TinyStep alone(v.options, device);
      alone.classifier->train();
      const StepBatch batch = images(device);
      backward(ops::mean(
          ops::cross_entropy(alone.classifier->logits(batch.images), label_ids(batch, alone.classifier->classes()))));
      alone.sgd->step();

      const StepLog log = n.step->train(batch, 0, n.draws);
      CHECK(std::isfinite(figure(log, "classifier_loss")));
      CHECK_FALSE(std::isfinite(figure(log, "masked_total___loss")));
      CHECK(values_of(n.masker->parameters()) == masker);
      CHECK_FALSE(same_state(*n.classifier, before));
      CHECK(values_of(n.classifier->parameters()) == values_of(alone.classifier->parameters()));
      CHECK(values_of(n.sgd->state()) == values_of(alone.sgd->state()));
    }
}

TEST_CASE("simulated: two steps may be under way; each log is that of its step, in whatever order they are read") {
  for (const Variant& v : variants()) {
    CAPTURE(v.name);
    TinyStep overlapped(v.options, gpu), want(v.options, gpu);
    const StepBatch first = images(gpu), second = images(gpu, 2);
    for (int i = 0; i < 2; ++i) {
      LateLog a = overlapped.step->queue(first, 2 * i, overlapped.draws);
      LateLog b = overlapped.step->queue(second, 2 * i + 1, overlapped.draws);
      const StepLog late = b.read(), early = a.read();
      CHECK(early == want.step->train(first, 2 * i, want.draws));
      CHECK(late == want.step->train(second, 2 * i + 1, want.draws));
      CHECK(early != late);
    }
  }
}

TEST_CASE("simulated: the zoo of a run that goes on lies beside its classifier; a historic step waits for no copy") {
  const TrainOptions options = variants().back().options;
  TinyStep stored(options, gpu), n(options, gpu);
  stored.step->train(images(gpu), 0, stored.draws);
  REQUIRE(stored.step->zoo().size() == 1);
  Checkpoint file;
  save_run({.classifier = stored.classifier.get(), .zoo = &stored.step->zoo()}, {}, file);
  // As it comes from a file.
  for (auto& [part, state] : file.parts)
    for (NamedTensor& t : state) t.tensor = t.tensor.to(Device{});
  restore_run(file, {.classifier = n.classifier.get(), .zoo = &n.step->zoo()});
  REQUIRE(n.step->zoo().size() == 1);
  for (const NamedTensor& t : n.step->zoo().states()[0]) {
    CAPTURE(t.name);
    CHECK((t.tensor.device() == gpu) == (t.tensor.dtype() != DType::i64));
  }
  CHECK(values_of(n.classifier->parameters()) == values_of(stored.classifier->parameters()));
  n.step->train(images(gpu), 1, n.draws);
  const StepBatch batch = images(gpu);
  const std::int64_t before = simulated_counts().uploads;
  n.step->train(batch, 2, n.draws);
  CHECK(simulated_counts().uploads - before == variants().back().uploads);
}

TEST_CASE("simulated: a label that is no class, or an id that no row has, is NaN on a GPU and nothing is read") {
  const Tensor logits = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}, gpu);
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 40}) {
    const Tensor ids = Tensor::from(std::vector<std::int64_t>{bad, 1}, {2}, gpu);
    const std::int64_t before = simulated_counts().reads;
    const Tensor loss = ops::cross_entropy(logits, ids);
    const Tensor rows = ops::embedding(ops::reshape(logits, {3, 2}), ids);
    CHECK(simulated_counts().reads == before);
    CHECK(std::isnan(loss.to_vector<float>()[0]));
    CHECK(loss.to_vector<float>()[1] == doctest::Approx(1.407606));
    CHECK(std::isnan(rows.to_vector<float>()[1]));
    CHECK(rows.to_vector<float>()[3] == 4);
  }
}

TEST_CASE("simulated: a readout that finds no memory leaves its slot as it was") {
  Tensor small = Tensor::from(std::vector<float>{1, 2, 3}, {3}, gpu);
  // More than any block that the pool may still have.
  const std::vector<float> many(1 << 24, 5.0f);
  const Tensor large = Tensor::from(many, {1 << 24}, gpu);
  const auto read = [&](const Tensor& t) {
    Readout readout(gpu);
    readout.add(t);
    readout.send();
    return readout.values(0);
  };
  const std::vector<double> want{1, 2, 3};
  CHECK(read(small) == want);
  for (const auto of : {SimulatedShortage::Of::pinned, SimulatedShortage::Of::device}) {
    release_cached_memory(gpu);
    {
      const SimulatedShortage shortage(of);
      Readout readout(gpu);
      readout.add(large);
      CHECK_THROWS_AS(readout.send(), Error);
      CHECK_THROWS_AS(readout.values(0), Error);
      CHECK(read(small) == want);
    }
    CHECK(read(small) == want);
  }
  CHECK(read(large).size() == many.size());
  CHECK(read(large).back() == 5);
  CHECK(read(Tensor::empty({0}, DType::f32, gpu)).empty());
}

TEST_CASE("simulated: a readout has the values of its moment, and slots are used again") {
  Tensor a = Tensor::from(std::vector<float>{1, 2, 3}, {3}, gpu);
  const Tensor ids = Tensor::from(std::vector<std::int64_t>{7}, {1}, gpu);
  std::int64_t allocations = 0;
  for (int i = 0; i < 3; ++i) {
    Readout readout(gpu);
    CHECK(readout.add(a) == 0);
    CHECK(readout.add(ids) == 1);
    CHECK(readout.add(a) == 0);
    CHECK_THROWS_AS(readout.values(0), Error);
    readout.send();
    CHECK_THROWS_AS(readout.add(a), Error);
    CHECK_THROWS_AS(readout.send(), Error);
    kernels::fill(context(gpu), 3, 10.0 + i, a.mutable_data<float>());
    CHECK(readout.values(0) == (i == 0 ? std::vector<double>{1, 2, 3} : std::vector<double>(3, 9.0 + i)));
    CHECK(readout.values(1) == std::vector<double>{7});
    if (i > 0) CHECK(simulated_counts().allocations == allocations);
    allocations = simulated_counts().allocations;
  }
  const Readout unread = [&] {
    Readout r(gpu);
    r.add(a);
    r.send();
    return r;
  }();
}

TEST_CASE("simulated: FIX in fp16 is near float32 and waits for nothing; a gradient that overflows changes no weight") {
  TrainOptions fix = variants()[0].options, half = fix;
  half.precision = "fp16";
  struct Scope {
    ~Scope() { set_compute_policy({}); }
  } const restored;
  for (const Device device : {gpu, Device{}}) {
    CAPTURE(name_of(device));
    set_compute_policy({});
    TinyStep exact(fix, device);
    const StepLog want = exact.step->train(images(device), 0, exact.draws);
    set_compute_policy({.frozen = DType::f16});
    TinyStep n(half, device);
    const StepLog got = n.step->train(images(device), 0, n.draws);
    CHECK(figure(got, "overflow") == 0);
    CHECK(figure(got, "masked_total___loss") == doctest::Approx(figure(want, "masked_total___loss")).epsilon(1e-2));
    CHECK(figure(got, "masked_total___loss") != figure(want, "masked_total___loss"));
    for (int i = 1; i < 5; ++i) {
      const auto before = simulated_counts();
      LateLog log = n.step->queue(images(device), i, n.draws);
      CHECK(simulated_counts().reads == before.reads);
      CHECK(figure(log.read(), "overflow") == 0);
    }
    TrainOptions over = half;
    over.loss_scale = 0x1p24;
    TinyStep o(over, device);
    const auto masker = copy_state(*o.masker);
    for (int i = 0; i < 2; ++i) {
      const StepLog log = o.step->train(images(device), i, o.draws);
      CHECK(figure(log, "overflow") == 1);
      CHECK(std::isfinite(figure(log, "masked_total___loss")));
    }
    CHECK(same_state(*o.masker, masker));
    for (const NamedTensor& t : o.adam->state())
      for (const float v : t.tensor.to_vector<float>()) CHECK(v == 0);
    CHECK_FALSE(same_state(*n.masker, masker));
  }
}

namespace {

// With maps of more than one pixel to the end: a norm over the four values of the other batches makes anything of a
// rounding.
StepBatch larger_images(Device device) {
  constexpr std::int64_t n = 6, side = 64;
  std::vector<float> all(n * side * side * 3);
  Rng rng(22);
  for (float& v : all) v = static_cast<float>(rng.uniform(-2, 2));
  return {Tensor::from(all, {n, side, side, 3}).to(device), {0, 1, 2, 1, 0, 2}};
}

// |a - b| / |b - start| over all weights.
double apart(const TinyStep& a, const TinyStep& b, const TinyStep& start) {
  double difference = 0, moved = 0;
  const auto x = values_of(a.classifier->parameters()), y = values_of(b.classifier->parameters()),
             from = values_of(start.classifier->parameters());
  for (std::size_t p = 0; p < x.size(); ++p)
    for (std::size_t i = 0; i < x[p].size(); ++i) {
      difference += std::pow(static_cast<double>(x[p][i]) - y[p][i], 2);
      moved += std::pow(static_cast<double>(y[p][i]) - from[p][i], 2);
    }
  CHECK(moved > 0);
  return std::sqrt(difference / moved);
}

}  // namespace

TEST_CASE("simulated: CA in 16 bit equals the CPU's, is near float32, and waits for nothing") {
  for (const Variant& v : variants()) {
    if (v.options.fixed_classifier) continue;
    TinyStep start(v.options, Device{}), exact(v.options, Device{});
    const StepLog wide = exact.step->train(larger_images(Device{}), 0, exact.draws);
    for (const DType inside : sixteen()) {
      CAPTURE(std::string(v.name));
      CAPTURE(std::string(name_of(inside)));
      const PolicyScope scope(inside);
      TrainOptions options = v.options;
      options.precision = precision_of(inside);
      TinyStep n(options, gpu), cpu(options, Device{});
      REQUIRE(n.classifier->inside() == inside);
      const StepLog got = n.step->train(larger_images(gpu), 0, n.draws),
                    want = cpu.step->train(larger_images(Device{}), 0, cpu.draws);
      const bool brain = inside == DType::bf16;
      REQUIRE(got.size() == want.size());
      // Not what counts images: one of six may be decided otherwise.
      for (const char* name :
           {"classifier_loss", "masked_in___classifier_loss", "masked_out___classifier_loss", "mask_avg", "mask_tv"}) {
        CAPTURE(name);
        CHECK(figure(got, name) == doctest::Approx(figure(want, name)).epsilon(brain ? 3e-2 : 4e-3));
        CHECK(figure(got, name) == doctest::Approx(figure(wide, name)).epsilon(brain ? 5e-2 : 1e-2));
        CHECK(figure(got, name) != figure(wide, name));
      }
      if (!brain) CHECK(figure(got, "overflow") == 0);
      CHECK(apart(n, cpu, start) < (brain ? 0.5 : 0.2));
      CHECK(apart(n, exact, start) < 0.9);

      const StepBatch batch = images(gpu);
      for (int i = 1; i < 6; ++i) {
        const auto before = simulated_counts();
        LateLog log = n.step->queue(batch, i, n.draws);
        const auto queued = simulated_counts();
        log.read();
        if (i < 4) continue;
        CHECK(queued.reads == before.reads);
        CHECK(queued.late_reads - before.late_reads == 1);
        CHECK(queued.uploads - before.uploads == v.uploads);
        CHECK(queued.allocations == before.allocations);
      }
    }
  }
}

TEST_CASE("simulated: CA in 16 bit: masked in, one walk back serves the masker and the classifier") {
  const auto kernels = [](DType inside, const std::string& direction) {
    const PolicyScope scope(inside);
    TrainOptions options = variants()[3].options;
    options.precision = precision_of(inside);
    options.mask_out.criterion = "none";
    options.mask_in.objective_direction = direction;
    TinyStep n(options, gpu);
    const StepBatch batch = images(gpu);
    n.step->train(batch, 0, n.draws);
    const auto before = simulated_counts().kernels;
    n.step->train(batch, 1, n.draws);
    return simulated_counts().kernels - before;
  };
  for (const DType inside : sixteen()) {
    CAPTURE(name_of(inside));
    // Of 20 convolutions and as many norms a second walk has a kernel each.
    CHECK(kernels(inside, "maximize") + 40 < kernels(inside, "minimize"));
  }
}

// At a scale of 1 too, to which a run that overflows may come down; and where the weights' gradients alone overflow.
TEST_CASE("CA in fp16: an infinite gradient of weights keeps the update that it belongs to, and the masker's") {
  const PolicyScope scope(DType::f16);
  for (const double scale : {1.0, 1024.0})
    for (const std::string stage : {"clean", "masked"}) {
      CAPTURE(scale);
      CAPTURE(stage);
      TrainOptions options;
      options.fixed_classifier = false;
      options.prob_historic = 0;
      options.precision = "fp16";
      options.loss_scale = scale;
      options.mask_in.criterion = options.mask_out.criterion = "crossentropy";
      TinyStep n(options, Device{});
      const auto start = copy_state(*n.classifier), masker = copy_state(*n.masker);
      std::vector<NamedTensor> after_clean;
      n.step->observer = [&](const char* reached) {
        if (reached == std::string("masked")) after_clean = copy_state(*n.classifier);
        if (reached != stage) return;
        Tensor gradient = n.classifier->parameters().front().tensor.grad();
        gradient.mutable_data<float>()[0] = std::numeric_limits<float>::infinity();
      };
      const StepLog log = n.step->train(images(Device{}), 0, n.draws);
      CHECK(figure(log, "overflow") == 1);
      REQUIRE(!after_clean.empty());
      // Running statistics move in a forward pass: what is learned is compared.
      const auto same_weights = [&](const std::vector<NamedTensor>& want) {
        for (const NamedTensor& p : n.classifier->parameters())
          for (const NamedTensor& w : want)
            if (w.name == p.name && w.tensor.to_vector<float>() != p.tensor.to_vector<float>()) return false;
        return true;
      };
      CHECK(same_weights(after_clean));
      CHECK(same_weights(start) == (stage == "clean"));
      CHECK(same_state(*n.masker, masker));
    }
}

TEST_CASE("simulated: CA in fp16: a gradient that overflows changes nobody's weights") {
  const PolicyScope scope(DType::f16);
  for (const Device device : {gpu, Device{}})
    for (const Variant& v : variants()) {
      if (v.options.fixed_classifier) continue;
      CAPTURE(v.name);
      TrainOptions options = v.options;
      options.precision = "fp16";
      options.loss_scale = 0x1p24;
      TinyStep n(options, device);
      const auto classifier = copy_state(*n.classifier), masker = copy_state(*n.masker);
      for (int i = 0; i < 2; ++i) {
        const StepLog log = n.step->train(images(device), i, n.draws);
        CHECK(figure(log, "overflow") == 1);
        CHECK(std::isfinite(figure(log, "masked_total___loss")));
      }
      CHECK(same_state(*n.classifier, classifier));
      CHECK(same_state(*n.masker, masker));
      for (const auto& state : {n.sgd->state(), n.adam->state()})
        for (const NamedTensor& t : state)
          for (const float x : t.tensor.to_vector<float>()) CHECK(x == 0);
    }
}
