// Steps of tiny networks on the simulated GPU, and what tests look at in them.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "tests/simulated_gpu.h"
#include "tests/tiny_step.h"

namespace pen::test {

inline StepBatch images(Device device, float first = 1) {
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
  int uploads;  // copies from the CPU in a step
};
inline std::vector<Variant> variants() {
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
  return {{"fix", fix, 1},
          {"fix, one side", out_only, 1},
          {"fix with areas and ids", told, 2},
          {"ca", ca, 1},
          {"ca, historic", skip, 1}};
}

inline std::vector<std::vector<float>> values_of(const std::vector<NamedTensor>& tensors) {
  std::vector<std::vector<float>> out;
  for (const NamedTensor& t : tensors) out.push_back(t.tensor.to_vector<float>());
  return out;
}
inline double figure(const StepLog& log, const std::string& name) {
  for (const auto& [key, value] : log)
    if (key == name) return value;
  FAIL("no figure " << name);
  return 0;
}

inline bool same_state(const Module& a, const std::vector<NamedTensor>& b) {
  const auto state = a.parameters();
  for (const NamedTensor& t : state)
    for (const NamedTensor& other : b)
      if (t.name == other.name && t.tensor.to_vector<float>() != other.tensor.to_vector<float>()) return false;
  return !state.empty();
}

// The 16-bit types that this machine computes in.
inline std::vector<DType> sixteen() {
  std::vector<DType> all{DType::f16};
  if (kernels::device::has_bf16({})) all.push_back(DType::bf16);
  return all;
}

}  // namespace pen::test
