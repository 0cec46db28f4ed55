// What the infillers promise beyond the recordings: the simple ones by hand, sizes, protocols, files and refusals.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "models/checkpoint.h"
#include "models/infill_ca.h"
#include "models/infill_cnn.h"
#include "models/infill_dfnet.h"
#include "models/infill_opencv.h"
#include "models/infill_pconv.h"
#include "models/infill_simple.h"
#include "tensor/autograd.h"
#include "tests/golden_state.h"
#include "tests/gradcheck.h"
#include "tests/scratch.h"

using namespace pen;

namespace {

// An image and a hole in its middle, or a soft mask.
InfillerInput input(std::int64_t n, std::int64_t h, std::int64_t w, MaskSide side = MaskSide::out, bool soft = false) {
  Tensor mask = Tensor::zeros({n, h, w, 1});
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t y = h / 4; y < h / 2 + i; ++y)
      for (std::int64_t x = w / 3; x < 2 * w / 3; ++x)
        mask.mutable_data<float>()[(i * h + y) * w + x] = soft ? 0.7f : 1;
  return {test::uniform({n, h, w, 3}, 3, -2, 2).to(DType::f32), mask, side};
}

double largest(const Tensor& t) {
  double most = 0;
  for (const double v : test::values_of(t)) most = std::max(most, std::abs(v));
  return most;
}
double distance(const Tensor& a, const Tensor& b) { return largest(ops::sub(a, b)); }

std::string refusal(ErrorKind kind, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.kind() == kind);
    return std::string(e.what()) + " | " + e.hint();
  }
  FAIL("nothing was refused");
  return {};
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("infilled: the image where it is known, the generated one in the hole, mixed where the mask is soft") {
  for (const MaskSide side : {MaskSide::in, MaskSide::out}) {
    const InfillerInput i = input(2, 8, 9, side, true);
    const Tensor generated = test::uniform(i.image.shape(), 8).to(DType::f32);
    const auto x = test::values_of(i.image), g = test::values_of(generated), m = test::values_of(i.mask);
    std::vector<double> want;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double selected = m[k / 3];
      want.push_back(side == MaskSide::in ? x[k] * selected + g[k] * (1 - selected)
                                          : x[k] * (1 - selected) + g[k] * selected);
    }
    const test::Difference d = test::compare_max(test::values_of(infilled(i, generated)), want, 1e-6);
    CHECK_MESSAGE(d.ok, d.message);
  }
}

TEST_CASE("the loss of an infiller: L1, holes six times") {
  const InfillerInput i = input(2, 8, 9, MaskSide::in, true);
  const Tensor generated = test::uniform(i.image.shape(), 8).to(DType::f32);
  const auto x = test::values_of(i.image), g = test::values_of(generated), m = test::values_of(i.mask);
  double hole = 0, valid = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    hole += (1 - m[k / 3]) * std::abs(g[k] - x[k]) / static_cast<double>(x.size());
    valid += m[k / 3] * std::abs(g[k] - x[k]) / static_cast<double>(x.size());
  }
  const InfillerLoss loss = infiller_loss(i, generated);
  CHECK(loss.hole.item() == doctest::Approx(hole).epsilon(1e-5));
  CHECK(loss.valid.item() == doctest::Approx(valid).epsilon(1e-5));
  CHECK(loss.total.item() == doctest::Approx(valid + 6 * hole).epsilon(1e-5));
}

TEST_CASE("mean_color: the mean of what is left; zeros where nothing is") {
  InfillerInput i = input(2, 8, 9);
  for (std::int64_t k = 72; k < 144; ++k) i.mask.mutable_data<float>()[k] = 1;  // the second image is all hole
  const Tensor out = MeanColorInfiller().generate(i, nullptr);
  const auto x = test::values_of(i.image), m = test::values_of(i.mask), got = test::values_of(out);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, known = 0;
    for (std::size_t p = 0; p < 72; ++p) sum += (1 - m[p]) * x[3 * p + c], known += 1 - m[p];
    for (std::size_t p = 0; p < 72; ++p) CHECK(got[3 * p + c] == doctest::Approx(sum / known).epsilon(1e-5));
    CHECK(got[3 * 72 + c] == 0);
  }
}

TEST_CASE("noise: uniform colours; a function of the seed, or of the draws and their position") {
  const InfillerInput i = input(2, 32, 32);
  NoiseInfiller noise(4), other(5);
  const Tensor a = noise.generate(i, nullptr);
  CHECK(distance(a, noise.generate(i, nullptr)) == 0);
  CHECK(distance(a, other.generate(i, nullptr)) > 0.1);
  Rng draws(9, 2), again(9, 2);
  const Tensor b = noise.generate(i, &draws), c = noise.generate(i, &draws);
  CHECK(draws.position() == 2 * 2 * 32 * 32 * 3);
  CHECK(distance(b, c) > 0.1);
  CHECK(distance(b, noise.generate(i, &again)) == 0);
  double sum = 0, low = 1, high = 0;
  for (const double v : test::values_of(to_unit_range(a))) sum += v, low = std::min(low, v), high = std::max(high, v);
  CHECK(sum / (2 * 32 * 32 * 3) == doctest::Approx(0.5).epsilon(0.03));
  CHECK(low > -1e-6);
  CHECK(low < 0.01);
  CHECK(high < 1 + 1e-6);
  CHECK(high > 0.99);
}

TEST_CASE("blur: a constant stays far from the border, a point becomes a Gaussian") {
  InfillerInput i = input(1, 101, 90);
  i.image = Tensor::zeros({1, 101, 90, 3});
  i.image.mutable_data<float>()[(50 * 90 + 45) * 3] = 1;
  const auto point = test::values_of(BlurInfiller(3).generate(i, nullptr));
  const auto at = [&](int y, int x) { return point[static_cast<std::size_t>((y * 90 + x) * 3)]; };
  CHECK(at(50, 45) == doctest::Approx(1 / (2 * 3.14159265 * 9)).epsilon(1e-3));
  CHECK(at(53, 45) / at(50, 45) == doctest::Approx(std::exp(-0.5)).epsilon(1e-5));
  CHECK(at(50, 48) == doctest::Approx(at(53, 45)).epsilon(1e-5));
  CHECK(at(50, 58) == 0);  // 4 sigma is the end
  i.image = Tensor::full({1, 101, 90, 3}, 1);
  const auto flat = test::values_of(BlurInfiller(3).generate(i, nullptr));
  CHECK(flat[(50 * 90 + 45) * 3] == doctest::Approx(1).epsilon(1e-6));
  CHECK(flat[0] < 0.5);
}

TEST_CASE("OpenCV: known pixels stay, a hole in one colour gets that colour, nothing known gives zeros") {
  for (const auto method : {OpenCvInfiller::Method::telea, OpenCvInfiller::Method::navier_stokes}) {
    OpenCvInfiller infiller(method);
    InfillerInput i = input(2, 30, 33);
    const Tensor kept = infiller.generate(i, nullptr);
    const Tensor known = i.known();
    // Colours outside of [0,1] are cut, and all are rounded to bytes.
    const Tensor inside = from_unit_range(test::uniform({2, 30, 33, 3}, 7, 0, 1).to(DType::f32));
    i.image = inside;
    CHECK(distance(ops::mask_in(infiller.generate(i, nullptr), known), ops::mask_in(inside, known)) <
          0.5 / 255 / 0.224 + 1e-4);
    i.image = from_unit_range(Tensor::full({2, 30, 33, 3}, 0.6));
    // Bytes that are weighed sums of equal bytes may still come out two steps off.
    CHECK(distance(infiller.generate(i, nullptr), i.image) < 2.5 / 255 / 0.224);
    i.mask = Tensor::full({2, 30, 33, 1}, 1);
    CHECK(largest(infiller.generate(i, nullptr)) < 1e-5);
  }
  const InfillerInput i = input(1, 30, 33);
  CHECK(distance(OpenCvInfiller(OpenCvInfiller::Method::telea).generate(i, nullptr),
                 OpenCvInfiller(OpenCvInfiller::Method::navier_stokes).generate(i, nullptr)) > 1e-3);
}

TEST_CASE("pconv: any size; what lies in the hole does not matter") {
  Rng rng(1);
  PConvInfiller pconv(4, rng);
  pconv.eval();
  InfillerInput i = input(1, 41, 38);
  const NoGrad no_grad;
  const Tensor a = pconv.generate(i);
  CHECK(a.shape() == i.image.shape());
  CHECK(largest(a) > 1e-3);
  i.image.mutable_data<float>()[(15 * 38 + 17) * 3] += 100;  // inside the hole
  CHECK(distance(a, pconv.generate(i)) == 0);
  i.image.mutable_data<float>()[0] += 1;
  CHECK(distance(a, pconv.generate(i)) > 1e-6);
}

TEST_CASE("partial convolution: its gradient is its finite difference") {
  Rng draw(2);
  PartialConv layer(2, 3, {.norm = false, .bias = true, .slope = 0.2}, draw);
  layer.to(DType::f64);
  Tensor valid = Tensor::full({2, 4, 5, 1}, 1, DType::f64);
  for (const int at : {6, 7, 12, 30}) valid.mutable_data<double>()[at] = 0;
  const test::Difference d = test::gradcheck(
      [&](const std::vector<Tensor>& x) {
        return layer.forward({{x[0], valid}}).values;
      },
      {test::uniform({2, 4, 5, 2}, 3)});
  CHECK_MESSAGE(d.ok, d.message);
}

TEST_CASE("cnn: sizes that 16 does not divide; too small ones are refused") {
  Rng rng(1);
  CnnInfiller cnn(rng);
  const InfillerInput i = input(2, 37, 50);
  CHECK(cnn.generate(i).shape() == i.image.shape());
  CHECK(contains(refusal(ErrorKind::run, [&] { cnn.generate(input(1, 15, 40)); }), "16x16 is the least"));
}

TEST_CASE("ca_infiller: the paper's protocol takes the mask for the hole on both sides, strict the true one") {
  const NoGrad no_grad;
  Rng rng(1);
  const init::Skip computed;
  CaInfiller paper(false, rng), strict(true, rng);
  for (CaInfiller* net : {&paper, &strict}) test::fill_state(*net, "x.", 0), net->eval();
  const InfillerInput out = input(1, 32, 40), in = input(1, 32, 40, MaskSide::in);
  CHECK(distance(paper.generate(out), strict.generate(out)) == 0);
  CHECK(distance(paper.generate(in), strict.generate(in)) > 1e-3);
  // In a batch the paper's attention uses the first image's mask for both; the holes of `input` differ.
  const InfillerInput two = input(2, 64, 64);
  const InfillerInput second{ops::slice_batch(two.image, 1, 1), ops::slice_batch(two.mask, 1, 1), MaskSide::out};
  CHECK(distance(ops::slice_batch(strict.generate(two), 1, 1), strict.generate(second)) < 1e-5);
  CHECK(paper.generate(input(1, 30, 45)).shape() == Shape{1, 30, 45, 3});
}

TEST_CASE(
    "dfn_infiller: strict keeps what is known on both sides; the paper's protocol adds to it on the masked-in side") {
  const NoGrad no_grad;
  Rng rng(1);
  const init::Skip computed;
  DfnetInfiller paper(false, rng), strict(true, rng);
  for (DfnetInfiller* net : {&paper, &strict}) test::fill_state(*net, "x.", 0), net->eval();
  const InfillerInput in = input(1, 256, 256, MaskSide::in);  // no resizing at this size
  const auto known = [&](const Tensor& t) { return ops::mask_in(t, in.known()); };
  CHECK(distance(known(strict.generate(in)), known(in.image)) < 1e-4);
  CHECK(distance(known(paper.generate(in)), known(in.image)) > 0.1);
  const InfillerInput out = input(1, 256, 256);
  CHECK(distance(paper.generate(out), strict.generate(out)) == 0);
}

TEST_CASE("files: read strictly, named by the option or by the environment; refusals say what to do") {
  test::ScratchFolder folder;
  Rng rng(3);
  CnnInfiller cnn(rng);
  Checkpoint file;
  file.parts["state_dict_infiller"] = copy_state(cnn);
  const std::string path = folder / "cnn.chk";
  write_checkpoint(path, file);
  const InfillerInput i = input(1, 32, 32);
  const std::unique_ptr<Infiller> loaded = make_infiller({.model = "cnn", .path = path});
  CHECK(distance(loaded->generate(i), cnn.generate(i)) == 0);
  for (const NamedTensor& p : loaded->parameters()) CHECK_FALSE(p.tensor.requires_grad());
  CHECK(distance(make_infiller({.model = "cnn", .seed = 8})->generate(i), cnn.generate(i)) > 1e-3);

  unsetenv("CA_MODEL_PATH");
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "ca_infiller"}); }), "CA_MODEL_PATH"));
  const std::string own = folder / "ca.chk";
  const init::Skip computed;
  CaInfiller ca(false, rng);
  test::fill_state(ca, "x.", 0);
  Checkpoint plain;
  plain.parts["state_dict_classifier"] = copy_state(ca);  // what a plain weight file is read as
  write_checkpoint(own, plain);
  setenv("CA_MODEL_PATH", own.c_str(), 1);
  CHECK(infiller_file("ca_infiller", "") == own);
  CHECK(infiller_file("ca_infiller", path) == path);
  CHECK(distance(make_infiller({.model = "ca_infiller"})->generate(i), ca.generate(i)) < 1e-6);
  CHECK(contains(refusal(ErrorKind::checkpoint, [&] { make_infiller({.model = "ca_infiller", .path = path}); }),
                 "missing: coarse_generator.conv1.conv.weight"));
  unsetenv("CA_MODEL_PATH");
  unsetenv("DFNET_MODEL_PATH");
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "dfn_infiller"}); }), "DFNET_MODEL_PATH"));
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "pconv"}); }), "--infiller_path FILE"));
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "blur", .path = "x"}); }), "has no weights"));
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "gan"}); }), "navier_stokes"));
  CHECK(contains(refusal(ErrorKind::usage, [] { make_infiller({.model = "noise", .to_train = true}); }),
                 "cnn and pconv"));
  CHECK(contains(refusal(ErrorKind::checkpoint, [&] { make_infiller({.model = "pconv", .path = path}); }),
                 "holds no partial convolution network"));
  PConvInfiller pconv(4, rng);
  pconv.check_loaded("file");
  pconv.find("enc_2.conv.mask_conv").buffers().at(0).tensor.mutable_data<float>()[5] = 0.5f;
  CHECK(contains(refusal(ErrorKind::checkpoint, [&] { pconv.check_loaded("file"); }), "has to be ones"));
}
