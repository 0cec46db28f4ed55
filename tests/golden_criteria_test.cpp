// Every recorded criterion: value, gradients of mask and logits, and all logged values, computed in float32 and double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "layers/losses.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

constexpr double tolerance = 1e-5;  // recorded in float32 only: the tolerance of operators
constexpr std::int64_t n = 8, size = 224, classes = 1000;

std::vector<float> linspace(float first, float last) {
  std::vector<float> out;
  const float step = (last - first) / static_cast<float>(n - 1);
  for (std::int64_t i = 0; i < n; ++i)
    out.push_back(i < n / 2 ? first + step * static_cast<float>(i) : last - step * static_cast<float>(n - 1 - i));
  return out;
}

// What the recording's own float32 arithmetic adds to results that depend on an image's area: the reference averages
// the 50,176 pixels one after the other in float32. Absolute, for values and for the gradient of the mask.
struct AreaNoise {
  double value, gradient;
};

struct Case {
  test::Golden golden{"criteria.safetensors"};
  std::vector<std::int64_t> y = golden.i64("y");
  std::vector<float> mask, clean, masked, p = linspace(0.2f, 0.8f);

  Case() {
    REQUIRE(static_cast<std::int64_t>(y.size()) == n);
    const std::vector<float> coarse = test::fill("crit.mask", {n, 1, size / 4, size / 4}, golden.seed());
    const std::vector<float> scale = linspace(0.1f, 1.0f);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t r = 0; r < size; ++r)
        for (std::int64_t c = 0; c < size; ++c)
          mask.push_back(
              (0.5f * coarse[static_cast<std::size_t>((i * (size / 4) + r / 4) * (size / 4) + c / 4)] + 0.5f) *
              scale[static_cast<std::size_t>(i)]);
    clean = logits("crit.y_hat", [](std::int64_t i) { return i < 6; });
    masked = logits("crit.y_hat_masked", [](std::int64_t i) { return i % 2 == 0; });
  }

  // The mean of each mask, summed one pixel after the other in float32, and in double.
  std::vector<float> running_areas() const {
    std::vector<float> out;
    for (std::int64_t i = 0; i < n; ++i) {
      float sum = 0;
      for (std::int64_t j = i * size * size; j < (i + 1) * size * size; ++j) sum += mask[static_cast<std::size_t>(j)];
      out.push_back(sum / static_cast<float>(size * size));
    }
    return out;
  }
  std::vector<double> exact_areas() const {
    std::vector<double> out;
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::int64_t j = i * size * size; j < (i + 1) * size * size; ++j) sum += mask[static_cast<std::size_t>(j)];
      out.push_back(sum / static_cast<double>(size * size));
    }
    return out;
  }
  // lambda * |d regulariser / d area| times the largest error of a recorded area. Against target areas p under l2 the
  // regulariser is the square of area - p: slope at most 2, and a gradient that depends on the area itself.
  AreaNoise noise(double lambda, bool l2) const {
    double error = 0;
    const std::vector<float> running = running_areas();
    const std::vector<double> exact = exact_areas();
    for (std::size_t i = 0; i < running.size(); ++i)
      error = std::max(error, std::abs(static_cast<double>(running[i]) - exact[i]));
    return {lambda * error * (l2 ? 2 : 1), l2 ? 2 * lambda * error / static_cast<double>(n * size * size) : 0.0};
  }

  template <class Right>
  std::vector<float> logits(const std::string& name, Right right) const {
    std::vector<float> v = test::fill(name, {n, classes}, golden.seed());
    for (float& x : v) x = 4.0f * x;
    for (std::int64_t i = 0; i < n; ++i)
      if (right(i)) v[static_cast<std::size_t>(i * classes + y[static_cast<std::size_t>(i)])] = 6.0f;
    return v;
  }
};

std::optional<double> optional_number(const rapidjson::Value& v, const char* key) {
  if (!v.HasMember(key) || v[key].IsNull()) return std::nullopt;
  return v[key].GetDouble();
}

std::unique_ptr<Criterion> cross_entropy_of(const rapidjson::Value& v) {
  CrossEntropyOptions o;
  o.side = std::string(v["mask_reg_mode"].GetString()) == "mask_in" ? MaskSide::in : MaskSide::out;
  o.maximize = std::string(v["objective_direction"].GetString()) == "maximize";
  o.entropy = std::string(v["objective_type"].GetString()) == "entropy";
  o.lambda_r = v["lambda_r"].GetDouble();
  o.lambda_tv = optional_number(v, "lambda_tv");
  o.add_prob_layers = v["add_prob_layers"].GetBool();
  o.prob_squared = std::string(v["prob_loss_func"].GetString()) == "l2";
  return make_cross_entropy_criterion(o);
}

std::unique_ptr<Criterion> divergence_of(const rapidjson::Value& v, const std::vector<double>& weights) {
  const rapidjson::Value& config = v["config"];
  DivergenceOptions o;
  o.divide = std::string(config["prior"].GetString()) == "divide";
  o.backward = std::string(config["kl"].GetString()) == "backward";
  o.loss_on_coc = config["loss_on_coc"].GetBool();
  o.apply_class_weight = config["apply_class_weight"].GetBool();
  o.regularize_always = config.HasMember("regularize_always") && config["regularize_always"].GetBool();
  if (config.HasMember("nothing_class")) {
    o.nothing_class = config["nothing_class"].GetInt64();
    o.nothing_class_reg_weight = config["nothing_class_reg_weight"].GetDouble();
  }
  o.lambda_r = v["lambda_r"].GetDouble();
  o.lambda_tv = optional_number(v, "lambda_tv");
  o.class_weights = weights;
  return make_divergence_criterion(o);
}

// Shares of images: counted, so exact.
const std::set<std::string> indicators{"correct_on_clean", "correct_on_masked", "mistaken_on_masked",
                                       "nontrivially_confused"};

void check_variant(const Case& c, const std::string& variant, const Criterion& criterion, bool uses_p,
                   const AreaNoise& noise, DType dtype) {
  CriterionInput in;
  in.mask = Tensor::from(c.mask, {n, size, size, 1}).to(dtype).set_requires_grad(true);
  in.masked_logits = Tensor::from(c.masked, {n, classes}).to(dtype).set_requires_grad(true);
  in.clean_logits = Tensor::from(c.clean, {n, classes}).to(dtype);
  in.clean_class = ops::argmax_ids(in.clean_logits);
  in.labels = c.y;
  in.label_ids = Tensor::from(c.y, {n});
  in.masked_loss = ops::mean(ops::cross_entropy(in.masked_logits, Tensor::from(c.y, {n})));
  if (uses_p) in.p = Tensor::from(c.p, {n}).to(dtype);
  const CriterionResult result = criterion(in);
  backward(result.total);

  const auto scalar = [&](const std::string& name) { return c.golden.f64(variant + "." + name).at(0); };
  const auto check = [&](const std::string& name, const test::Difference& d) {
    CHECK_MESSAGE(d.ok, variant, ".", name, ": ", d.message);
  };
  const auto check_gradient = [&](const std::string& name, const test::Answer& got, double extra) {
    const test::RecordedTensor recorded(c.golden, variant + "." + name);
    double largest = 0, squares = 0;
    for (const double x : recorded.stored()) {
      largest = std::max(largest, std::abs(x));
      squares += x * x;
    }
    const double rms = std::sqrt(squares / static_cast<double>(recorded.stored().size()));
    check(name, test::compare_max(recorded.sampled(got.values), recorded.stored(), tolerance + extra / largest));
    check(name, recorded.compare(got, tolerance + extra / rms));
  };
  check_gradient("dmask", test::activation(in.mask.grad()), noise.gradient);
  check_gradient("dlogits", test::activation(in.masked_logits.grad()), 0);

  // A sum is as exact as its largest term.
  const double largest = std::max(std::abs(scalar("meta.loss")), std::abs(scalar("meta.regularization")));
  CHECK_MESSAGE(std::abs(result.total.item() - scalar("loss")) <= tolerance * largest + noise.value, variant, ": ",
                result.total.item(), ", recorded ", scalar("loss"));

  std::size_t logged = 0;
  for (const std::string& full : c.golden.names()) {
    const std::string prefix = variant + ".meta.";
    if (!full.starts_with(prefix)) continue;
    ++logged;
    const std::string name = full.substr(prefix.size());
    const std::vector<double> want = c.golden.f64(full);
    if (name == "mask_mean") {
      // The recorded areas are exactly those of a running float32 sum; ours are those of the pixels.
      check(name, test::compare_max(test::to_double(c.running_areas()), want, 1e-7));
      check(name, test::compare_max(test::values_of(ops::mean_per_image(in.mask)), c.exact_areas(), 1e-6));
    } else if (name == "use_p") {
      check(name, test::compare_max(test::to_double(c.p), want, tolerance));
    } else if (name == "negative_entropy") {
      check(name,
            test::compare_max(test::values_of(ops::affine(ops::entropy(in.masked_logits), -1, 0)), want, tolerance));
    } else {
      REQUIRE_MESSAGE(result.logged.count(name), full);
      const double got = result.logged.at(name).read();
      if (indicators.count(name)) {
        CHECK_MESSAGE(got == want.at(0), full, ": ", got, ", recorded ", want[0]);
      } else {
        const bool of_area = name == "mask_reg" || name == "regularization";
        const double scale = std::max(std::abs(want.at(0)),
                                      name == "regularization" ? std::abs(result.logged.at("mask_reg").read()) : 0.0);
        CHECK_MESSAGE(std::abs(got - want.at(0)) <= tolerance * scale + (of_area ? noise.value : 0.0), full, ": ", got,
                      ", recorded ", want[0]);
      }
    }
  }
  CHECK(logged >= 5);
}

void check_all(DType dtype) {
  const Case c;
  const rapidjson::Document variants = parse_json(c.golden.meta("variants"), "variants");
  const std::vector<double> weights = c.golden.f64("class_weights");
  std::size_t cross_entropies = 0, divergences = 0;
  for (const auto& [key, value] : variants.GetObject()) {
    const std::string name = key.GetString();
    if (name.starts_with("ce_")) {
      ++cross_entropies;
      const bool uses_p = value["add_prob_layers"].GetBool();
      const bool l2 = uses_p && std::string(value["prob_loss_func"].GetString()) == "l2";
      check_variant(c, name, *cross_entropy_of(value), uses_p, c.noise(value["lambda_r"].GetDouble(), l2), dtype);
    } else {
      REQUIRE_MESSAGE(name.starts_with("kl_"), name);
      ++divergences;
      check_variant(c, name, *divergence_of(value, weights), false, c.noise(value["lambda_r"].GetDouble(), false),
                    dtype);
    }
  }
  CHECK(cross_entropies == 48);
  CHECK(divergences == 24);
}

}  // namespace

TEST_CASE("criteria: all variants in float32") { check_all(DType::f32); }
TEST_CASE("criteria: all variants in double") { check_all(DType::f64); }
