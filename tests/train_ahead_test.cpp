// The clean pass of the next batch beside the masked pass of this one: what it changes of the results (nothing), of the
// launches and of the memory.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/file.h"
#include "kernels/kernels.h"
#include "layers/frozen_plan.h"
#include "models/frozen_classifier.h"
#include "tensor/autograd.h"
#include "tensor/memory.h"
#include "tensor/ops.h"
#include "tests/simulated_gpu.h"
#include "tests/tiny_step.h"
#include "tests/training_runs.h"
#include "train/session.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;

namespace {

StepBatch images(Device device, std::int64_t n, std::uint64_t seed) {
  std::vector<float> all(static_cast<std::size_t>(n * 32 * 32 * 3));
  Rng rng(seed);
  for (float& v : all) v = static_cast<float>(rng.uniform(-2, 2));
  StepBatch out{Tensor::from(all, {n, 32, 32, 3}).to(device), {}};
  for (std::int64_t i = 0; i < n; ++i) out.labels.push_back((i + static_cast<std::int64_t>(seed)) % 3);
  return out;
}

TrainOptions fix_options() {
  TrainOptions o;
  o.fixed_classifier = true;
  o.mask_in.criterion = o.mask_out.criterion = "crossentropy";
  o.mask_in.objective_type = "classification";
  o.mask_in.lambda_tv = o.mask_out.lambda_tv = 0.001;
  o.lr_casme = 1e-3;
  return o;
}

struct Variant {
  const char* name;
  TrainOptions options;
  DType inside = DType::f32;
  int uploads = 1;  // copies from the CPU in a step
};
std::vector<Variant> variants() {
  TrainOptions told = fix_options(), half = fix_options(), brain = fix_options();
  told.add_prob_layers = told.add_class_ids = true;
  half.precision = "fp16", brain.precision = "bf16";
  std::vector<Variant> all{
      {"fix", fix_options()}, {"with areas and ids", told, DType::f32, 2}, {"fp16", half, DType::f16}};
  if (kernels::device::has_bf16({})) all.push_back({"bf16", brain, DType::bf16});
  return all;
}

// Everything of floats that a run goes on from, as bits (NaN equals NaN).
std::vector<std::vector<std::uint32_t>> state_of(const TinyStep& n) {
  std::vector<std::vector<std::uint32_t>> out;
  for (const auto& state : {n.masker->state(), n.adam->state()})
    for (const NamedTensor& t : state) {
      if (t.tensor.dtype() != DType::f32) continue;
      std::vector<std::uint32_t>& bits = out.emplace_back();
      for (const float v : t.tensor.to_vector<float>()) bits.push_back(std::bit_cast<std::uint32_t>(v));
    }
  return out;
}

// Bit by bit: two NaN are equal.
void check_logs(const StepLog& got, const StepLog& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(want[i].first);
    CHECK(got[i].first == want[i].first);
    CHECK((got[i].second == want[i].second || (std::isnan(got[i].second) && std::isnan(want[i].second))));
  }
}

}  // namespace

TEST_CASE("ahead: equal to the bit with and without the next batch, whatever comes next, on both devices") {
  for (const Device device : {Device{}, gpu})
    for (const Variant& v : variants()) {
      CAPTURE(name_of(device));
      CAPTURE(std::string(v.name));
      const PolicyScope scope(v.inside);
      TinyStep with(v.options, device), without(v.options, device);
      REQUIRE(with.step->reads_next());
      std::vector<StepBatch> batches;
      // An epoch's last batch is smaller, and larger ones come.
      for (const std::int64_t n : {4, 4, 2, 5, 4, 3, 4}) batches.push_back(images(device, n, batches.size() + 1));
      const StepBatch other = images(device, 4, 90), large{Tensor::zeros({2, 64, 64, 3}).to(device), {0, 1}};
      for (std::size_t i = 0; i < batches.size(); ++i) {
        CAPTURE(i);
        const StepBatch* next = i + 1 < batches.size() ? &batches[i + 1] : nullptr;
        if (i == 2) next = &other;   // another batch comes than was said
        if (i == 3) next = nullptr;  // nobody said
        if (i == 4) next = &large;   // of another size
        check_logs(with.step->train(batches[i], static_cast<std::int64_t>(i), with.draws, next),
                   without.step->train(batches[i], static_cast<std::int64_t>(i), without.draws));
        if (i == 0 || i == 4)
          check_logs(with.step->validate(other, with.draws), without.step->validate(other, without.draws));
        CHECK(state_of(with) == state_of(without));
        CHECK(with.draws.position() == without.draws.position());
      }
      CHECK(state_of(with) != state_of(TinyStep(v.options, device)));
    }
}

TEST_CASE("ahead: images that were changed since, or others in the same memory, get a clean pass of their own") {
  for (const Device device : {Device{}, gpu}) {
    CAPTURE(name_of(device));
    TinyStep with(fix_options(), device), without(fix_options(), device);
    const StepBatch first = images(device, 4, 1), fresh = images(device, 4, 3);
    StepBatch second = images(device, 4, 2);
    with.step->train(first, 0, with.draws, &second);
    without.step->train(first, 0, without.draws);
    second.images.copy_from(fresh.images);
    check_logs(with.step->train(second, 1, with.draws),
               without.step->train({fresh.images, second.labels}, 1, without.draws));
    CHECK(state_of(with) == state_of(without));
  }
}

TEST_CASE("simulated, ahead: a step that ended with an error has made nothing for the next one") {
  const auto kernels_of = [](TinyStep& n, const StepBatch& batch) {
    const auto before = simulated_counts().kernels;
    n.step->train(batch, 1, n.draws);
    return simulated_counts().kernels - before;
  };
  TinyStep n(fix_options(), gpu), alone(fix_options(), gpu), told(fix_options(), gpu);
  const StepBatch first = images(gpu, 4, 1), second = images(gpu, 4, 2);
  n.step->mask_observer = [](const Tensor&, const Tensor&) { throw std::runtime_error("behind the masked pass"); };
  CHECK_THROWS_AS(n.step->train(first, 0, n.draws, &second), std::runtime_error);
  n.step->mask_observer = {};
  alone.step->train(first, 0, alone.draws);
  told.step->train(first, 0, told.draws, &second);
  const std::int64_t own_clean_pass = kernels_of(alone, second);
  CHECK(kernels_of(n, second) == own_clean_pass);
  CHECK(kernels_of(told, second) < own_clean_pass);
}

TEST_CASE("ahead: a step of images that are not finite leaves what it says of the next ones as it is") {
  for (const Device device : {Device{}, gpu}) {
    CAPTURE(name_of(device));
    TinyStep with(fix_options(), device), without(fix_options(), device);
    std::vector<float> bad(4 * 32 * 32 * 3, 1.0f);
    bad[7] = std::numeric_limits<float>::infinity();
    const StepBatch broken{Tensor::from(bad, {4, 32, 32, 3}).to(device), {0, 1, 2, 0}}, next = images(device, 4, 2);
    check_logs(with.step->train(broken, 0, with.draws, &next), without.step->train(broken, 0, without.draws));
    check_logs(with.step->train(next, 1, with.draws, &broken), without.step->train(next, 1, without.draws));
    check_logs(with.step->train(broken, 2, with.draws), without.step->train(broken, 2, without.draws));
    CHECK(state_of(with) == state_of(without));
  }
}

TEST_CASE("ahead: where it cannot be, the next batch changes nothing") {
  TrainOptions ca = fix_options(), one = fix_options(), apart = fix_options(), infill = fix_options();
  ca.fixed_classifier = false;
  one.mask_in.criterion = "none";
  apart.fuse = false;
  infill.do_infill_for_mask_out = true;
  infill.infiller_model = "blur";
  for (const TrainOptions& o : {ca, one, apart}) {
    TinyStep with(o), without(o);
    CHECK_FALSE(with.step->reads_next());
    const StepBatch a = images({}, 4, 1), b = images({}, 4, 2);
    check_logs(with.step->train(a, 0, with.draws, &b), without.step->train(a, 0, without.draws));
    check_logs(with.step->train(b, 1, with.draws, &a), without.step->train(b, 1, without.draws));
    CHECK(state_of(with) == state_of(without));
  }
  CHECK_FALSE(TinyStep(infill).step->reads_next());
}

TEST_CASE("simulated, ahead: a queued step waits for nothing, takes no new memory, and launches less") {
  for (const Variant& v : variants()) {
    CAPTURE(v.name);
    const PolicyScope scope(v.inside);
    TinyStep n(v.options, gpu), apart(v.options, gpu);
    const StepBatch batches[] = {images(gpu, 4, 1), images(gpu, 4, 2)};
    for (int i = 0; i < 6; ++i) {
      const auto before = simulated_counts();
      const auto memory = memory_stats(gpu).system_allocations;
      LateLog log = n.step->queue(batches[i % 2], i, n.draws, &batches[(i + 1) % 2]);
      const auto queued = simulated_counts();
      if (i >= 3) {  // warm
        CHECK(queued.reads == before.reads);
        CHECK(queued.waits - before.waits <= 1);
        CHECK(queued.late_reads - before.late_reads == 1);
        CHECK(queued.uploads - before.uploads == v.uploads);
        CHECK(queued.allocations == before.allocations);
        CHECK(memory_stats(gpu).system_allocations == memory);
      }
      const StepLog got = log.read();
      CHECK(simulated_counts().reads == queued.reads);
      const auto start = simulated_counts();
      check_logs(got, apart.step->train(batches[i % 2], i, apart.draws));
      const auto kernels = simulated_counts().kernels - start.kernels;
      // ResNet-18 has 20 convolutions forward in either pass. In one batch each of the 17 ReLUs has a kernel for its
      // bits, which the simulated GPU's convolutions otherwise mark by themselves, and a pool more is launched.
      if (i >= 3) CHECK(queued.kernels - before.kernels < kernels);
    }
  }
}

TEST_CASE("simulated, ahead: a frozen network's answers, its gradient and what it keeps are those of two passes") {
  for (const std::string arch : {"resnet18", "resnet20", "mobilenet_v1"})
    for (const Variant& v : variants()) {
      if (v.uploads > 1) continue;
      CAPTURE(arch);
      CAPTURE(std::string(v.name));
      const PolicyScope scope(v.inside);
      Rng rng(5);
      const auto network = make_classifier({arch, 3, 0.25}, rng);
      network->eval();
      network->set_requires_grad(false);
      network->to(gpu);
      const auto frozen = freeze(*network);
      const std::int64_t n = 3, m = 2;
      const Tensor x = images(gpu, n, 7).images, clean = images(gpu, m, 8).images;
      Tensor mask = ops::sigmoid(Tensor::from(std::vector<float>(n * 32 * 32, 0.3f), {n, 32, 32, 1}).to(gpu)).detach();
      mask.set_requires_grad(true);
      std::vector<float> random(2 * n * 3);
      for (float& g : random) g = static_cast<float>(rng.uniform(-1, 1));
      const Tensor dy = Tensor::from(random, {2 * n, 3}).to(gpu);
      const auto gradient = [&](const Tensor& logits) {
        mask.clear_grad();
        backward(logits, dy);
        return mask.grad().to_vector<float>();
      };
      std::vector<bool> wanted(frozen->tap_widths().size(), true);
      wanted[1] = false;
      // Both once, so that what kernels keep is there.
      frozen->masked_and_clean(x, mask, clean, wanted);
      frozen->masked_logits(x, mask);

      std::int64_t live = static_cast<std::int64_t>(memory_stats(gpu).live);
      const auto taken = [&] {
        const auto before = live;
        live = static_cast<std::int64_t>(memory_stats(gpu).live);
        return live - before;
      };
      const Tensor want_masked = frozen->masked_logits(x, mask);
      const std::int64_t apart = taken();
      const ClassifierOutput want = frozen->forward(clean);
      taken();
      Classifier::MaskedAndClean got = frozen->masked_and_clean(x, mask, clean, wanted);
      std::int64_t together = taken();

      CHECK(got.masked.to_vector<float>() == want_masked.to_vector<float>());
      CHECK_FALSE(got.clean.logits.requires_grad());
      CHECK(got.clean.logits.to_vector<float>() == want.logits.to_vector<float>());
      REQUIRE(got.clean.taps.size() == want.taps.size());
      for (std::size_t i = 0; i < want.taps.size(); ++i) {
        CAPTURE(i);
        REQUIRE(got.clean.taps[i].defined() == wanted[i]);
        if (!wanted[i]) continue;
        CHECK(got.clean.taps[i].shape() == want.taps[i].shape());
        CHECK(got.clean.taps[i].to_vector<float>() == want.taps[i].to_vector<float>());
        const std::int64_t bytes = got.clean.taps[i].numel() * 4;
        together -= (bytes + 511) / 512 * 512;
      }
      // Of the clean images nothing stays but taps and logits: the bits are those of the masked ones.
      CAPTURE(apart);
      CAPTURE(together);
      CHECK(together >= apart);
      CHECK(together <= apart + 512);
      CHECK(gradient(got.masked) == gradient(want_masked));
    }
}

TEST_CASE("ahead: clean images of another size or type, or with a gradient, are refused") {
  Rng rng(5);
  const auto network = make_classifier({"resnet18", 3, 0.125}, rng);
  network->eval();
  const auto frozen = freeze(*network);
  const Tensor x = images({}, 2, 1).images, mask = Tensor::full({2, 32, 32, 1}, 0.5);
  const auto refused = [&](const Tensor& clean) {
    CHECK_THROWS_WITH_AS(frozen->masked_and_clean(x, mask, clean, {}), doctest::Contains("masked_and_clean: "), Error);
  };
  refused(Tensor::zeros({2, 32, 36, 3}));
  refused(Tensor::zeros({2, 32, 32, 3}, DType::f64));
  refused(Tensor::zeros({32, 32, 3}));
  Tensor learned = Tensor::zeros({1, 32, 32, 3});
  learned.set_requires_grad(true);
  refused(learned);
  const auto none = frozen->masked_and_clean(x, mask, Tensor::zeros({0, 32, 32, 3}), {});
  CHECK(none.clean.logits.shape() == Shape{0, 3});
}

namespace {
// Twelve steps of two epochs of 22 images, or fewer: what each step saw, and whether it was told of the next batch.
struct Seen {
  std::vector<std::vector<float>> images;
  std::vector<bool> told;  // of the next batch
};
Seen watch(Device device, bool hand_next, std::int64_t max_steps) {
  TinyStep n(fix_options(), device);
  const ScratchFolder folder;
  const Metadata list = Metadata::read(data().list);
  const LimitedSource source(list, 22);
  LoaderOptions l;
  l.batch_size = 4, l.shuffle = true;
  Loader loader(source, Transform::train(32), l);
  SessionOptions o;
  o.folder = folder.path();
  o.epochs = 2, o.batch_size = 4, o.max_steps = max_steps, o.save_every_steps = 2, o.classes = 3;
  o.hand_next = hand_next, o.device = device;
  Seen seen;
  Tensor said;
  SessionHooks hooks;
  hooks.train = [&](const StepBatch& batch, const StepBatch* next, std::int64_t, std::int64_t, Rng&) {
    // The very tensor that the step before was told of, and what came up since has not changed it.
    if (said.defined()) CHECK(said.handle() == batch.images.handle());
    said = next ? next->images : Tensor();
    seen.told.push_back(next != nullptr);
    seen.images.push_back(batch.images.to_vector<float>());
    LateLog log(device);
    log.add("masked_total___loss", 1.0);
    log.send();
    return log;
  };
  hooks.line = [](const Figures&) { return std::string(); };
  hooks.describe = [](Checkpoint&) {};
  Session session(o, hooks, {.classifier = n.classifier.get(), .masker = n.masker.get()}, loader, nullptr, Rng(1));
  CHECK(session.run() == RunEnd::finished);
  return seen;
}
}  // namespace

TEST_CASE("ahead: a session tells each step of the batch that the next one has, to the end of an epoch or a run") {
  for (const Device device : {Device{}, gpu}) {
    CAPTURE(name_of(device));
    const Seen without = watch(device, false, 0), with = watch(device, true, 0), part = watch(device, true, 4);
    CHECK(without.told == std::vector<bool>(12, false));
    std::vector<bool> told(12, true);
    told[5] = told[11] = false;
    CHECK(with.told == told);
    CHECK(part.told == std::vector<bool>{true, true, true, false});
    CHECK(with.images == without.images);
    CHECK(with.images[5].size() == 2 * 32 * 32 * 3);
    CHECK(part.images == std::vector(with.images.begin(), with.images.begin() + 4));
  }
}

// The last batch of an epoch has two images. Checkpoints, validation, a step that is the last, an unreadable image.
TEST_CASE("ahead: a run with --clean_ahead on is the run without it, to the bit") {
  const Words fix{"--fixed_classifier",
                  "--lambda_tv",
                  "0.001",
                  "--mask_in_criterion",
                  "crossentropy",
                  "--add_prob_layers",
                  "--do_val",
                  "--val_json",
                  data().val,
                  "--limit",
                  "22",
                  "--epochs",
                  "2",
                  "--checkpoint_steps",
                  "2"};
  const auto same = [&](const std::string& name, const Words& more) {
    CAPTURE(name);
    finish(data().train(name + "-off", fix + more));
    finish(data().train(name + "-on", fix + more + Words{"--clean_ahead", "on"}));
    check_same(data().at(name + "-off"), data().at(name + "-on"));
    for (const char* log : {"log/train.jsonl", "log/val.jsonl"})
      CHECK(logged(data().at(name + "-off", log)) == logged(data().at(name + "-on", log)));
  };
  same("ahead", {});
  CHECK(count_lines(data().at("ahead-on", "log/train.jsonl")) == 12);
  same("ahead-part", {"--max_steps", "5"});
  finish(data().resume("ahead-part-on", {"--max_steps", "0"}));
  check_same(data().at("ahead-off"), data().at("ahead-part-on"));
}

// What goes wrong with a batch that is loaded early is said when its own turn comes: the step before it has run.
TEST_CASE("ahead: images that cannot be read end a run behind the step before them") {
  const TrainingData own;
  for (const int i : {8, 9, 10, 11, 12, 13, 14, 15})
    write_file(own.folder / str("images/", i % 2 ? "right" : "left", "/p", i, ".png"), "not an image");
  const Words fix{"--fixed_classifier", "--mask_in_criterion", "crossentropy", "--max_bad_share", "0.05"};
  std::vector<std::string> said;
  for (const std::string how : {"off", "on"}) {
    const Ended ended = penumbra(own.train(how, fix + Words{"--clean_ahead", how}));
    CHECK(ended.code == 3);
    said.push_back(ended.err);
  }
  CHECK(said[0] == said[1]);
  CHECK(logged(own.at("off", "log/train.jsonl")) == logged(own.at("on", "log/train.jsonl")));
}
