// A training step on the simulated GPU (simulated_gpu.cpp): while it is queued nobody waits, reads or takes memory; its
// figures arrive in one late copy; a loss that is not finite changes no weight.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/readout.h"
#include "tests/simulated_gpu.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;

namespace {

const Device gpu{Device::Kind::cuda, 0};

struct Networks {
  TrainOptions options;
  std::unique_ptr<Classifier> classifier;
  std::unique_ptr<Masker> masker;
  std::unique_ptr<Sgd> sgd;
  std::unique_ptr<Adam> adam;
  std::unique_ptr<TrainStep> step;
  Rng draws{3};

  Networks(const TrainOptions& o, Device device) : options(o) {
    set_threads(1);
    Rng rng(5);
    classifier = make_classifier({"resnet18", 3, 0.125}, rng);
    MaskerOptions m;
    m.tap_widths = classifier->tap_widths();
    m.use_layers = {1, 2};
    m.add_prob_layers = o.add_prob_layers;
    m.add_class_ids = o.add_class_ids;
    m.classes = 3;
    masker = std::make_unique<Masker>(m, rng);
    classifier->to(device);
    masker->to(device);
    sgd = std::make_unique<Sgd>(classifier->parameters(), o.lr, o.momentum, o.weight_decay);
    adam = std::make_unique<Adam>(masker->parameters(), o.lr_casme, o.weight_decay);
    step = std::make_unique<TrainStep>(options, *classifier, *masker, *sgd, *adam);
  }
};

StepBatch images(Device device, float first = 1) {
  constexpr std::int64_t n = 4;
  std::vector<float> all(n * 32 * 32 * 3);
  Rng rng(21);
  for (float& v : all) v = static_cast<float>(rng.uniform(-2, 2));
  all[0] = first;
  return {Tensor::from(all, {n, 32, 32, 3}).to(device), {0, 1, 2, 1}};
}

struct Variant {
  const char* name;
  TrainOptions options;
};
std::vector<Variant> variants() {
  TrainOptions base;
  base.mask_in.criterion = base.mask_out.criterion = "crossentropy";
  base.mask_in.objective_type = "classification";
  base.mask_out.objective_type = "entropy";
  base.mask_in.lambda_tv = base.mask_out.lambda_tv = 0.001;
  base.lr = base.lr_casme = 1e-4;
  TrainOptions fix = base, told = base, ca = base, skip = base, out_only = base;
  fix.fixed_classifier = told.fixed_classifier = out_only.fixed_classifier = true;
  told.add_prob_layers = told.add_class_ids = true;
  out_only.mask_in.criterion = "none";
  ca.prob_historic = 0;
  skip.prob_historic = 1;
  skip.zoo_mode = "historic";
  skip.save_freq = 1000;
  return {
      {"fix", fix}, {"fix, one side", out_only}, {"fix with areas and ids", told}, {"ca", ca}, {"ca, historic", skip}};
}

bool same_state(const Module& a, const std::vector<NamedTensor>& b) {
  const auto state = a.parameters();
  for (const NamedTensor& t : state)
    for (const NamedTensor& other : b)
      if (t.name == other.name && t.tensor.to_vector<float>() != other.tensor.to_vector<float>()) return false;
  return !state.empty();
}

}  // namespace

TEST_CASE("simulated: a queued step waits for nothing and takes no new memory; its log is one late copy") {
  for (const Variant& v : variants()) {
    CAPTURE(v.name);
    Networks n(v.options, gpu), want(v.options, Device{});
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
      Networks n(v.options, device);
      n.step->train(images(device), 0, n.draws);
      const auto classifier = copy_state(*n.classifier), masker = copy_state(*n.masker);
      const auto moments = [&] {
        std::vector<std::vector<float>> out;
        for (Optimizer* o : {static_cast<Optimizer*>(n.sgd.get()), static_cast<Optimizer*>(n.adam.get())})
          for (const NamedTensor& t : o->state()) out.push_back(t.tensor.to_vector<float>());
        return out;
      };
      const auto before = moments();
      const StepLog log = n.step->train(images(device, std::numeric_limits<float>::infinity()), 1, n.draws);
      bool seen = false;
      for (const auto& [name, value] : log) seen = seen || (name.ends_with("loss") && !std::isfinite(value));
      CHECK(seen);
      CHECK(same_state(*n.classifier, classifier));
      CHECK(same_state(*n.masker, masker));
      CHECK(moments() == before);
      n.step->train(images(device), 2, n.draws);
      CHECK_FALSE(same_state(*n.masker, masker));
    }
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
