// Attribution on ResNet-50 against TorchRay's answers, which were recorded in float32. In the second image two ReLUs
// are on their edge: channel 255 of layer1.2's result and channel 655 of layer3.0's, whose inputs are 3e-7 and 6e-7 of
// their layers' root mean squares, within float32's rounding. They were closed when the recording was made, and are
// open in our double run; they move the plain gradient by 5e-4 and 2e-3. `gradient` is compared with both
// closed: 5.5e-6 away in double, 9.5e-5 in float32.
#include <doctest/doctest.h>

#include <map>
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

  // The plain gradient, of the second image with the units on their edges closed: their channels' biases are lower by
  // 2e-6 of their layers' root mean square, which moves no other result by more than that.
  Tensor gradient_with_units_closed() const {
    struct Unit {
      const char* bias;
      std::size_t channel;
      double rms;
    };
    const Unit units[] = {{"layer1.2.bn3.bias", 255, 0.467}, {"layer3.0.bn3.bias", 655, 0.227}};
    const Tensor open = maps("gradient");
    const auto move = [&](double by) {
      for (const Unit& unit : units)
        for (const NamedTensor& p : network->parameters()) {
          if (p.name != unit.bias) continue;
          std::vector<double> values = p.tensor.to(DType::f64).to_vector<double>();
          values.at(unit.channel) += by * unit.rms;
          Tensor bias = p.tensor;
          bias.copy_from(Tensor::from(values, p.tensor.shape()).to(p.tensor.dtype()));
        }
    };
    move(-2e-6);
    const Tensor closed = maps("gradient");
    move(2e-6);
    return ops::concat_batch({ops::slice_batch(open, 0, 1), ops::slice_batch(closed, 1, 1)});
  }

  void check(const std::string& name, const Tensor& maps, double tolerance) const {
    const std::int64_t h = maps.size(1), w = maps.size(2);
    const std::vector<double> all = test::values_of(maps);
    for (std::int64_t i = 0; i < 2; ++i) {
      const test::Answer one{{1, 1, h, w}, {all.begin() + i * h * w, all.begin() + (i + 1) * h * w}};
      const double allowed = i == 1 && name.starts_with("gradient") ? (network->dtype() == DType::f64 ? 1e-5 : 2e-4)
                             : i == 1 && name.starts_with("guided") ? 2e-4
                                                                    : tolerance;
      const test::Difference d = test::RecordedTensor(golden, std::to_string(i) + "." + name).compare(one, allowed);
      CHECK_MESSAGE(d.ok, d.message);
    }
  }
};

void check_all(DType dtype) {
  const Case c(dtype);
  const Tensor gradient = c.gradient_with_units_closed();
  c.check("gradient", gradient, 1e-5);
  c.check("gradient_smooth", finished_maps(gradient, 224, 0.02), 1e-5);
  const Tensor cam = c.maps("grad_cam", {.layer = "layer4"});
  c.check("grad_cam", cam, 1e-5);
  c.check("grad_cam_224", finished_maps(cam, 224, 0), 1e-5);
  c.check("linear_approx_layer4", c.maps("linear_approx", {.layer = "layer4"}), 1e-5);
  const Tensor guided = c.maps("guided_backprop");
  c.check("guided_backprop_raw", guided, 1e-5);
  c.check("guided_backprop", finished_maps(guided, 224, attribution_method("torchray_guided_backprop").smooth), 1e-5);
  c.check("deconvnet", c.maps("deconvnet"), 1e-5);
  c.check("grad_cam_layer3", c.maps("grad_cam", {.layer = "layer3"}), 1e-5);
}

}  // namespace

TEST_CASE("attribution: ResNet-50 in float32") { check_all(DType::f32); }
TEST_CASE("attribution: ResNet-50 in double") { check_all(DType::f64); }
