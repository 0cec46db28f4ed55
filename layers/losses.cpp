#include "layers/losses.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/ops.h"

namespace pen {
namespace {

using Flags = Tensor;  // (N), one 0 or 1 per image, on the device

// Per-image constants as a tensor beside `like`.
Tensor constants(const std::vector<double>& values, const Tensor& like) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(like.dtype()).to(like.device());
}

Flags equal(const Tensor& classes, const CriterionInput& in) {
  const auto n = static_cast<std::int64_t>(in.labels.size());
  PEN_CHECK(n > 0 && classes.shape() == Shape{n} && in.label_ids.shape() == Shape{n}, "criterion: classes ",
            to_string(classes.shape()), " and ids ", to_string(in.label_ids.shape()), " for ", n, " labels");
  return ops::equal_ids(classes, in.label_ids, in.masked_logits);
}

Flags opposite(const Flags& f) { return ops::affine(f, -1, 1); }

// correct_i and not right any more: the masked image confused a classifier that knew.
Flags confused(const Flags& correct, const Flags& still_right) { return ops::mul(correct, opposite(still_right)); }

// The mean of each mask, or its distance to the target area.
Tensor area_of(const CriterionInput& in, bool against_target, bool squared) {
  const Tensor area = ops::mean_per_image(in.mask);
  if (!against_target) return area;
  PEN_CHECK(in.p.defined(), "criterion: add_prob_layers needs target areas");
  const Tensor distance = ops::sub(area, in.p);
  return squared ? ops::square(distance) : ops::abs(distance);
}

// -lambda * mean(relu(indicator - area) * weight); without weights they are 1
Tensor reward_small_masks(double lambda, const Flags& indicator, const Tensor& area,
                          const std::vector<double>& weight = {}) {
  Tensor margin = ops::relu(ops::sub(indicator, area));
  if (!weight.empty()) margin = ops::mul(margin, constants(weight, area));
  return ops::affine(ops::mean(margin), -lambda, 0);
}

void add_total_variation(const CriterionInput& in, const std::optional<double>& lambda, Tensor& regularization,
                         CriterionResult& result) {
  if (!lambda) return;
  const Tensor term = total_variation_term(in.mask, *lambda, in.mask_scale);
  result.logged["tv_reg"] = {.values = term.detach()};
  regularization = ops::add(regularization, term);
}

void finish(const Tensor& loss, const Tensor& regularization, CriterionResult& result) {
  result.total = ops::add(loss, regularization);
  result.logged["loss"] = {.values = loss.detach()};
  result.logged["regularization"] = {.values = regularization.detach()};
}

class CrossEntropyCriterion : public Criterion {
 public:
  explicit CrossEntropyCriterion(const CrossEntropyOptions& o) : o_(o) {}

  CriterionResult operator()(const CriterionInput& in) const override {
    CriterionResult result;
    const Flags correct = equal(in.clean_class, in);
    const Flags masked_right = equal(ops::argmax_ids(in.masked_logits), in);
    const Tensor objective =
        o_.entropy ? ops::mean(ops::mul(correct, ops::entropy(in.masked_logits))) : ops::affine(in.masked_loss, -1, 0);
    const Tensor loss = ops::affine(objective, o_.maximize ? -1 : 1, 0);

    const Flags indicator = o_.side == MaskSide::in ? masked_right : confused(correct, masked_right);
    const Tensor area = area_of(in, o_.add_prob_layers, o_.prob_squared);
    Tensor regularization = reward_small_masks(o_.lambda_r, indicator, area);
    result.logged["mask_reg"] = {.values = regularization.detach()};
    add_total_variation(in, o_.lambda_tv, regularization, result);

    result.logged["correct_on_clean"] = {Figure::Is::mean, correct};
    if (o_.side == MaskSide::in) {
      result.logged["correct_on_masked"] = {Figure::Is::mean, masked_right};
    } else {
      result.logged["mistaken_on_masked"] = {Figure::Is::rest_of_mean, masked_right};
      result.logged["nontrivially_confused"] = {Figure::Is::mean, indicator};
    }
    finish(loss, regularization, result);
    return result;
  }
  bool adds_to_masked_loss() const override { return !o_.entropy && o_.maximize; }

 private:
  CrossEntropyOptions o_;
};

class DivergenceCriterion : public Criterion {
 public:
  explicit DivergenceCriterion(const DivergenceOptions& o) : o_(o) {
    double total = 0;
    for (const double w : o_.class_weights) {
      PEN_CHECK_AS(usage, w > 0 && std::isfinite(w), "kldivergence: a class weight of ", w, " is not positive");
      total += 1 / w;
    }
    for (const double w : o_.class_weights) prior_.push_back(1 / w / total);
    PEN_CHECK_AS(usage, !prior_.empty(), "kldivergence: no class weights");
    if (o_.nothing_class)
      PEN_CHECK_AS(usage, *o_.nothing_class >= 0 && *o_.nothing_class < static_cast<std::int64_t>(prior_.size()),
                   "kldivergence: nothing_class ", *o_.nothing_class, " is not among ", prior_.size(), " classes");
  }

  CriterionResult operator()(const CriterionInput& in) const override {
    CriterionResult result;
    const std::size_t n = in.labels.size();
    const Flags correct = equal(decide(in.clean_logits), in);
    const Flags masked_right = equal(decide(in.masked_logits), in);
    const Flags indicator = confused(correct, masked_right);

    std::vector<double> loss_weight(n), reg_weight(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double w = o_.apply_class_weight ? o_.class_weights.at(static_cast<std::size_t>(in.labels[i])) : 1.0;
      const bool nothing = o_.nothing_class == in.labels[i];
      loss_weight[i] = nothing ? 0.0 : w;
      reg_weight[i] = w * (nothing ? o_.nothing_class_reg_weight : 1.0);
    }
    const Tensor divergence = ops::prior_divergence(in.masked_logits, constants(prior_, in.masked_logits), o_.backward);
    Tensor weight = constants(loss_weight, in.masked_logits);
    if (o_.loss_on_coc) weight = ops::mul(weight, correct);
    const Tensor loss = ops::mean(ops::mul(weight, divergence));

    const Tensor area = area_of(in, o_.add_prob_layers, o_.prob_squared);
    Tensor regularization = o_.regularize_always || o_.add_prob_layers
                                ? ops::affine(ops::mean(ops::mul(area, constants(reg_weight, area))), o_.lambda_r, 0)
                                : reward_small_masks(o_.lambda_r, indicator, area, reg_weight);
    result.logged["mask_reg"] = {.values = regularization.detach()};
    add_total_variation(in, o_.lambda_tv, regularization, result);

    result.logged["correct_on_clean"] = {Figure::Is::mean, correct};
    result.logged["mistaken_on_masked"] = {Figure::Is::rest_of_mean, masked_right};
    result.logged["nontrivially_confused"] = {Figure::Is::mean, indicator};
    finish(loss, regularization, result);
    return result;
  }

 private:
  // The class whose probability exceeds its prior most: by difference, or by ratio.
  Tensor decide(const Tensor& logits) const {
    const auto classes = static_cast<std::int64_t>(prior_.size());
    PEN_CHECK(logits.size(1) == classes, "kldivergence: ", logits.size(1), " logits for a prior of ", classes,
              " classes");
    return ops::largest_excess(ops::softmax(logits.detach()), Tensor::from(prior_, {classes}).to(logits.device()),
                               o_.divide);
  }

  DivergenceOptions o_;
  std::vector<double> prior_;
};

}  // namespace

double Figure::of(std::span<const double> v) const {
  if (is == Is::element) {
    PEN_CHECK(v.size() == 1, "a figure of ", v.size(), " elements");
    return v[0];
  }
  const double mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  return is == Is::mean ? mean : 1 - mean;
}

double Figure::read() const { return of(values.to(DType::f64).to_vector<double>()); }

// Between two cells of scale x scale equal pixels, and on a border, a difference occurs `scale` times; inside there is
// none.
Tensor total_variation_term(const Tensor& mask, double lambda_tv, std::int64_t scale) {
  constexpr double border = 0.3;
  const Tensor sum = ops::sum(ops::total_variation(mask, border));
  return ops::affine(sum, static_cast<double>(scale) * lambda_tv / (2.0 * static_cast<double>(mask.size(0))), 0);
}

std::unique_ptr<Criterion> make_cross_entropy_criterion(const CrossEntropyOptions& options) {
  return std::make_unique<CrossEntropyCriterion>(options);
}

std::unique_ptr<Criterion> make_divergence_criterion(const DivergenceOptions& options) {
  return std::make_unique<DivergenceCriterion>(options);
}

}  // namespace pen
