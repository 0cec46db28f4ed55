#include "layers/losses.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/ops.h"

namespace pen {
namespace {

using Flags = std::vector<double>;  // one 0 or 1 per image

Flags equal(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  PEN_CHECK(a.size() == b.size() && !a.empty(), "criterion: ", a.size(), " classes for ", b.size(), " labels");
  Flags out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] == b[i];
  return out;
}

double average(const Flags& f) { return std::accumulate(f.begin(), f.end(), 0.0) / static_cast<double>(f.size()); }

// Per-image constants as a tensor beside `like`.
Tensor constants(const Flags& values, const Tensor& like) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(like.dtype()).to(like.device());
}

// correct_i and not right any more: the masked image confused a classifier that knew.
Flags confused(const Flags& correct, const Flags& still_right) {
  Flags out(correct.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = correct[i] * (1 - still_right[i]);
  return out;
}

// The mean of each mask, or its distance to the target area.
Tensor area_of(const CriterionInput& in, bool against_target, bool squared) {
  const Tensor area = ops::mean_per_image(in.mask);
  if (!against_target) return area;
  PEN_CHECK(in.p.defined(), "criterion: add_prob_layers needs target areas");
  const Tensor distance = ops::sub(area, in.p);
  return squared ? ops::square(distance) : ops::abs(distance);
}

// -lambda * mean(relu(indicator - area) * weight)
Tensor reward_small_masks(double lambda, const Flags& indicator, const Tensor& area, const Flags& weight) {
  const Tensor margin = ops::relu(ops::sub(constants(indicator, area), area));
  return ops::affine(ops::mean(ops::mul(margin, constants(weight, area))), -lambda, 0);
}

void add_total_variation(const CriterionInput& in, const std::optional<double>& lambda, Tensor& regularization,
                         CriterionResult& result) {
  if (!lambda) return;
  const Tensor term = total_variation_term(in.mask, *lambda);
  result.logged["tv_reg"] = term.item();
  regularization = ops::add(regularization, term);
}

void finish(const Tensor& loss, const Tensor& regularization, CriterionResult& result) {
  result.total = ops::add(loss, regularization);
  result.logged["loss"] = loss.item();
  result.logged["regularization"] = regularization.item();
}

class CrossEntropyCriterion : public Criterion {
 public:
  explicit CrossEntropyCriterion(const CrossEntropyOptions& o) : o_(o) {}

  CriterionResult operator()(const CriterionInput& in) const override {
    CriterionResult result;
    const Flags correct = equal(in.clean_class, in.labels);
    const Flags masked_right = equal(ops::argmax(in.masked_logits), in.labels);
    const Tensor objective =
        o_.entropy ? ops::mean(ops::mul(constants(correct, in.masked_logits), ops::entropy(in.masked_logits)))
                   : ops::affine(in.masked_loss, -1, 0);
    const Tensor loss = ops::affine(objective, o_.maximize ? -1 : 1, 0);

    const Flags indicator = o_.side == MaskSide::in ? masked_right : confused(correct, masked_right);
    const Tensor area = area_of(in, o_.add_prob_layers, o_.prob_squared);
    Tensor regularization = reward_small_masks(o_.lambda_r, indicator, area, Flags(indicator.size(), 1.0));
    result.logged["mask_reg"] = regularization.item();
    add_total_variation(in, o_.lambda_tv, regularization, result);

    result.logged["correct_on_clean"] = average(correct);
    if (o_.side == MaskSide::in) {
      result.logged["correct_on_masked"] = average(masked_right);
    } else {
      result.logged["mistaken_on_masked"] = 1 - average(masked_right);
      result.logged["nontrivially_confused"] = average(indicator);
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
    const Flags correct = equal(decide(in.clean_logits), in.labels);
    const Flags masked_right = equal(decide(in.masked_logits), in.labels);
    const Flags indicator = confused(correct, masked_right);

    Flags loss_weight(n, 1.0), reg_weight(n, 1.0);
    for (std::size_t i = 0; i < n; ++i) {
      const double w = o_.apply_class_weight ? o_.class_weights.at(static_cast<std::size_t>(in.labels[i])) : 1.0;
      const bool nothing = o_.nothing_class == in.labels[i];
      loss_weight[i] = nothing ? 0.0 : w * (o_.loss_on_coc ? correct[i] : 1.0);
      reg_weight[i] = w * (nothing ? o_.nothing_class_reg_weight : 1.0);
    }
    const Tensor divergence = ops::prior_divergence(in.masked_logits, constants(prior_, in.masked_logits), o_.backward);
    const Tensor loss = ops::mean(ops::mul(constants(loss_weight, in.masked_logits), divergence));

    const Tensor area = area_of(in, o_.add_prob_layers, o_.prob_squared);
    Tensor regularization = o_.regularize_always || o_.add_prob_layers
                                ? ops::affine(ops::mean(ops::mul(area, constants(reg_weight, area))), o_.lambda_r, 0)
                                : reward_small_masks(o_.lambda_r, indicator, area, reg_weight);
    result.logged["mask_reg"] = regularization.item();
    add_total_variation(in, o_.lambda_tv, regularization, result);

    result.logged["correct_on_clean"] = average(correct);
    result.logged["mistaken_on_masked"] = 1 - average(masked_right);
    result.logged["nontrivially_confused"] = average(indicator);
    finish(loss, regularization, result);
    return result;
  }

 private:
  // The class whose probability exceeds its prior most: by difference, or by ratio.
  std::vector<std::int64_t> decide(const Tensor& logits) const {
    PEN_CHECK(logits.size(1) == static_cast<std::int64_t>(prior_.size()), "kldivergence: ", logits.size(1),
              " logits for a prior of ", prior_.size(), " classes");
    const std::vector<double> q = ops::softmax(logits.detach()).to(DType::f64).to_vector<double>();
    std::vector<std::int64_t> out;
    for (std::size_t row = 0; row < q.size(); row += prior_.size()) {
      std::size_t best = 0;
      double most = -INFINITY;
      for (std::size_t k = 0; k < prior_.size(); ++k) {
        const double excess = o_.divide ? q[row + k] / prior_[k] : q[row + k] - prior_[k];
        if (excess > most) {
          most = excess;
          best = k;
        }
      }
      out.push_back(static_cast<std::int64_t>(best));
    }
    return out;
  }

  DivergenceOptions o_;
  std::vector<double> prior_;
};

}  // namespace

Tensor total_variation_term(const Tensor& mask, double lambda_tv) {
  constexpr double border = 0.3;
  const Tensor sum = ops::sum(ops::total_variation(mask, border));
  return ops::affine(sum, lambda_tv / (2.0 * static_cast<double>(mask.size(0))), 0);
}

std::unique_ptr<Criterion> make_cross_entropy_criterion(const CrossEntropyOptions& options) {
  return std::make_unique<CrossEntropyCriterion>(options);
}

std::unique_ptr<Criterion> make_divergence_criterion(const DivergenceOptions& options) {
  return std::make_unique<DivergenceCriterion>(options);
}

}  // namespace pen
