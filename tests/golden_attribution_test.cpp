// Attribution on ResNet-50 against TorchRay's answers, which were recorded in float32. In the second image four ReLUs
// are on their edge: within float32's rounding, 6e-7 of their layers' root mean squares, from zero. Each moves
// gradients:
//   channel 655 of layer3.0: closed in the recording, open in ours; 2.0e-3 of the plain gradient, nothing of the guided
//   channel 636 of layer3.3: open in the recording, closed in our double; 5.2e-4 of the plain gradient, 8.1e-5 of the
//     guided
//   channel 287 of layer2.3: closed in the recording, open in our float32; 9.5e-5 of the plain gradient, nothing of the
//     guided
//   channel 94 behind layer2.0's second norm: closed in the recording and in our double, open in our float32 by 7e-8
//     of its layer's root mean square; 1.3e-5 of the plain gradient, 4.2e-6 of the guided
// A ReLU's own gradient has no edge (near zero it passes next to nothing), so that these inputs are the whole
// difference: `gradient` and `guided_backprop` are compared with the four as they were.
#include <doctest/doctest.h>

#include <memory>

#include "eval/attribution/attributor.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;
using namespace pen::eval;

namespace {

const std::vector<std::int64_t> targets{7, 523};

struct Case {
  test::Golden golden{"attribution.safetensors"};
  std::shared_ptr<pen::Classifier> network;
  Tensor x;

  explicit Case(DType dtype) {
    Rng rng(1);
    network = make_classifier({.arch = "resnet50"}, rng);
    network->to(dtype);
    test::fill_state(*network, "resnet50.", golden.seed());
    network->eval();
    network->set_requires_grad(false);
    x = test::smooth_batch(2, golden.seed(), dtype);
  }

  Tensor maps(const std::string& method, AttributionOptions options = {}) const {
    return attribution_method(method).run({*network, x, targets, {}, options}).maps;
  }

  // Of the second image with the four units as they were in the recording: their channels' biases are moved by at most
  // 2e-6 of their layers' root mean squares, which is farther than rounding reaches and moves nothing else by more.
  Tensor maps_with_units_as_recorded(const std::string& method) const {
    struct Unit {
      const char* bias;
      std::size_t channel;
      double by;
    };
    const Unit units[] = {{"layer3.0.bn3.bias", 655, -4.5e-7},
                          {"layer3.3.bn3.bias", 636, 5e-7},
                          {"layer2.3.bn3.bias", 287, -3e-7},
                          {"layer2.0.bn2.bias", 94, -2e-7}};
    const Tensor first = ops::slice_batch(maps(method), 0, 1);
    const auto move = [&](double direction) {
      for (const Unit& unit : units)
        for (const NamedTensor& p : network->parameters()) {
          if (p.name != unit.bias) continue;
          std::vector<double> values = p.tensor.to(DType::f64).to_vector<double>();
          values.at(unit.channel) += direction * unit.by;
          Tensor bias = p.tensor;
          bias.copy_from(Tensor::from(values, p.tensor.shape()).to(p.tensor.dtype()));
        }
    };
    move(1);
    const Tensor second = ops::slice_batch(maps(method), 1, 1);
    move(-1);
    return ops::concat_batch({first, second});
  }

  void check(const std::string& name, const Tensor& maps, double tolerance) const {
    const std::int64_t h = maps.size(1), w = maps.size(2);
    const std::vector<double> all = test::values_of(maps);
    for (std::int64_t i = 0; i < 2; ++i) {
      const test::Answer one{{1, 1, h, w}, {all.begin() + i * h * w, all.begin() + (i + 1) * h * w}};
      const test::Difference d = test::RecordedTensor(golden, std::to_string(i) + "." + name).compare(one, tolerance);
      CHECK_MESSAGE(d.ok, d.message);
    }
  }
};

void check_all(DType dtype) {
  const Case c(dtype);
  const Tensor gradient = c.maps_with_units_as_recorded("gradient");
  c.check("gradient", gradient, 2e-6);
  c.check("gradient_smooth", finished_maps(gradient, 224, 0.02), 1e-6);
  const Tensor cam = c.maps("grad_cam", {.layer = "layer4"});
  c.check("grad_cam", cam, 1e-5);
  c.check("grad_cam_224", finished_maps(cam, 224, 0), 1e-5);
  c.check("linear_approx_layer4", c.maps("linear_approx", {.layer = "layer4"}), 5e-6);
  const Tensor guided = c.maps_with_units_as_recorded("guided_backprop");
  c.check("guided_backprop_raw", guided, 1e-6);
  c.check("guided_backprop", finished_maps(guided, 224, attribution_method("torchray_guided_backprop").smooth), 1e-6);
  c.check("deconvnet", c.maps("deconvnet"), 2e-6);
  c.check("grad_cam_layer3", c.maps("grad_cam", {.layer = "layer3"}), 5e-6);
}

}  // namespace

TEST_CASE("attribution: ResNet-50 in float32") { check_all(DType::f32); }
TEST_CASE("attribution: ResNet-50 in double") { check_all(DType::f64); }
