// The criteria of masker training: each side's loss, area regulariser and total variation (Phang, Park, Geras 2020,
// sections 3 and 4; CASME: Zolna, Geras, Cho 2020).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/module.h"

namespace pen {

enum class MaskSide { in, out };

// What a criterion reads. Tensors (N,...); nothing but mask, masked_logits and masked_loss carries a gradient.
struct CriterionInput {
  Tensor mask;                       // (N,h,w,1)
  Tensor masked_logits;              // (N,classes): the classifier on the masked image
  Tensor masked_loss;                // scalar: mean cross entropy of masked_logits and the labels
  std::vector<std::int64_t> labels;  // (N)
  Tensor label_ids;                  // (N, int64): the same on the device
  Tensor clean_class;                // (N, int64): argmax of the clean logits
  Tensor clean_logits;               // (N,classes)
  Tensor p;                          // (N) target areas, if used
  std::int64_t mask_scale = 1;       // s: the mask is one of (N,s h,s w,1), each value for s x s pixels
};

// A figure whose value may still be on a device: the only element of `values`, their mean, or one minus their mean.
struct Figure {
  enum class Is { element, mean, rest_of_mean } is = Is::element;
  Tensor values;
  double of(std::span<const double> elements) const;
  double read() const;  // waits for the device
};

struct CriterionResult {
  Tensor total;                          // scalar: loss + regularization
  std::map<std::string, Figure> logged;  // loss, regularization, mask_reg, tv_reg, correct_on_clean, ...
};

class Criterion {
 public:
  virtual ~Criterion() = default;
  virtual CriterionResult operator()(const CriterionInput& input) const = 0;
  // Whether total = masked_loss + terms of the mask alone, so that the classifier's gradients of both are the same.
  virtual bool adds_to_masked_loss() const { return false; }
};

struct CrossEntropyOptions {
  MaskSide side = MaskSide::in;
  bool maximize = true;  // objective_direction: maximize or minimize
  bool entropy = false;  // objective_type: entropy or classification
  double lambda_r = 0;
  std::optional<double> lambda_tv;
  bool add_prob_layers = false;  // the area is its distance to p
  bool prob_squared = false;     // prob_loss_func: l2 instead of l1
};
std::unique_ptr<Criterion> make_cross_entropy_criterion(const CrossEntropyOptions& options);

struct DivergenceOptions {
  bool divide = false;       // prior: "subtract" or "divide", how probabilities meet the prior to decide the class
  bool backward = false;     // kl: "forward" -sum prior log q, "backward" -sum q (log prior - log q)
  bool loss_on_coc = false;  // only images that are correct when clean
  bool apply_class_weight = false;
  bool regularize_always = false;
  std::optional<std::int64_t> nothing_class;  // images of it carry no loss, only the regulariser
  double nothing_class_reg_weight = 1;        // times this
  double lambda_r = 0;
  std::optional<double> lambda_tv;
  bool add_prob_layers = false;
  bool prob_squared = false;
  std::vector<double> class_weights;  // (classes); the prior is (1/w)/sum(1/w)
};
std::unique_ptr<Criterion> make_divergence_criterion(const DivergenceOptions& options);

// lambda_tv * (squared differences + 0.3 * border squares) / (2 N), summed over all images: a scalar, of the mask with
// each value repeated scale x scale times.
Tensor total_variation_term(const Tensor& mask, double lambda_tv, std::int64_t scale = 1);

}  // namespace pen
