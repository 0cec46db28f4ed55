// Every recorded infiller on both sides with soft and hard masks; the attention, the generator and the partial
// convolution networks alone.
#include <doctest/doctest.h>

#include "models/contextual_attention.h"
#include "models/infill_ca.h"
#include "models/infill_cnn.h"
#include "models/infill_dfnet.h"
#include "models/infill_pconv.h"
#include "models/infill_simple.h"
#include "tensor/autograd.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

const char* const recording = "infillers.safetensors";

Tensor soft_mask(DType dtype) {
  return ops::resize_bilinear(ops::affine(test::fill_activation("infill.mask", {2, 1, 14, 14}, 0, dtype, 1), 0.5, 0.5),
                              224, 224);
}

// The recording is of float32 only, so that the double path is held against it as loosely.
void check(const std::string& name, const Tensor& got, double tolerance) {
  const test::Golden golden(recording);
  const test::Difference d = test::RecordedTensor(golden, name).compare(test::activation(got), tolerance);
  CHECK_MESSAGE(d.ok, name, ": ", d.message);
}

void check_sides(const std::string& name, Infiller& infiller, DType dtype, double tolerance) {
  const NoGrad no_grad;
  const Tensor x = test::smooth_batch(2, 0, dtype), soft = soft_mask(dtype);
  for (const bool hard : {false, true})
    for (const MaskSide side : {MaskSide::in, MaskSide::out}) {
      const InfillerInput input{x, hard ? ops::step(soft, 0.5) : soft, side};
      const Tensor generated = infiller.generate(input);
      const std::string prefix =
          name + (side == MaskSide::in ? ".mask_in." : ".mask_out.") + (hard ? "hard." : "soft.");
      if (name == "dummy") {
        CHECK(ops::sum(ops::square(generated)).item() == 0);  // recorded are zeros, which no comparison accepts
      } else {
        check(prefix + "generated", generated, tolerance);
      }
      check(prefix + "infilled", infilled(input, generated), tolerance);
    }
}

template <class T>
void fill_and_freeze(T& network, const std::string& prefix, DType dtype) {
  network.to(dtype);
  test::fill_state(network, prefix, 0);
  network.set_requires_grad(false);
  network.eval();
}

void check_cnn(DType dtype) {
  Rng rng(1);
  CnnInfiller cnn(rng);
  fill_and_freeze(cnn, "infill.cnn.", dtype);
  check_sides("cnn", cnn, dtype, 2e-6);
}

void check_dfnet(DType dtype) {
  Rng rng(1);
  const init::Skip computed;
  DfnetInfiller dfnet(false, rng);
  fill_and_freeze(dfnet, "infill.dfnet.", dtype);
  check_sides("dfn_infiller", dfnet, dtype, 2e-6);
}

void check_ca(DType dtype) {
  Rng rng(1);
  const init::Skip computed;
  CaInfiller ca(false, rng);
  fill_and_freeze(ca, "infill.ca.", dtype);
  check_sides("ca_infiller", ca, dtype, 2e-6);
}

void check_pconv(int levels, DType dtype) {
  const NoGrad no_grad;
  Rng rng(1);
  const init::Skip computed;
  PConvInfiller pconv(levels, rng);
  const std::string name = "pconv" + std::to_string(levels);
  fill_and_freeze(pconv, "infill." + name + ".", dtype);
  const Tensor x = ops::pad2d(test::smooth_batch(2, 0, dtype), 0, -96, 0, -96);
  const Tensor hard = ops::pad2d(ops::step(soft_mask(dtype), 0.5), 0, -96, 0, -96);
  const PartialMap out = pconv.network({x, ops::affine(hard, -1, 1)});
  check(name + ".h", out.values, 2e-6);
  check(name + ".mask", ops::concat_channels({out.valid, out.valid, out.valid}), 1e-12);
}

}  // namespace

TEST_CASE("dummy and blur") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    ZeroInfiller zero;
    check_sides("dummy", zero, dtype, 2e-6);
    BlurInfiller blur(20);
    check_sides("blur", blur, dtype, 2e-6);
  }
}

TEST_CASE("cnn, float32") { check_cnn(DType::f32); }
TEST_CASE("cnn, double") { check_cnn(DType::f64); }
TEST_CASE("pconv, 6 levels, float32") { check_pconv(6, DType::f32); }
TEST_CASE("pconv, 7 levels, float32") { check_pconv(7, DType::f32); }
TEST_CASE("pconv, 6 levels, double") { check_pconv(6, DType::f64); }
TEST_CASE("dfn_infiller, float32") { check_dfnet(DType::f32); }
TEST_CASE("ca_infiller, float32") { check_ca(DType::f32); }

TEST_CASE("contextual attention alone") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor f = test::fill_activation("infill.ca_att.f", {2, 8, 32, 32}, 0, dtype);
    const Tensor hard = ops::pad2d(ops::step(soft_mask(dtype), 0.5), 0, -96, 0, -96);
    check("contextual_attention_32.y", contextual_attention(f, ops::resize_nearest(hard, 16, 16), true), 2e-6);
  }
}

TEST_CASE("the generator with contextual attention alone") {
  const NoGrad no_grad;
  Rng rng(1);
  const init::Skip computed;
  CaInfiller ca(false, rng);
  fill_and_freeze(ca, "infill.ca.", DType::f32);
  const Tensor hard = ops::pad2d(ops::step(soft_mask(DType::f32), 0.5), 0, -96, 0, -96);
  // The recorded input: a third of the image, cut to [-1, 1].
  const Tensor third = ops::affine(ops::pad2d(test::smooth_batch(2, 0, DType::f32), 0, -96, 0, -96), 1.0 / 3, 0);
  const Tensor x =
      ops::affine(ops::sub(ops::relu(ops::affine(third, 1, 1)), ops::relu(ops::affine(third, 1, -1))), 1, -1);
  const CaInfiller::Stages stages = ca.network(x, hard);
  check("ca_generator_128.stage1", stages.coarse, 2e-6);
  check("ca_generator_128.stage2", stages.fine, 1e-5);  // the softmax of scale 10 multiplies rounding
}
