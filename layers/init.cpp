#include "layers/init.h"

#include <cmath>
#include <functional>

namespace pen::init {
namespace {

thread_local bool skipped = false;

void assign(Tensor& t, const std::function<double()>& draw) {
  std::vector<float> values(static_cast<std::size_t>(t.numel()));
  for (float& v : values) v = static_cast<float>(draw());
  t.copy_from(Tensor::from(values, t.shape()).to(t.dtype()).to(t.device()));
}

}  // namespace

Skip::Skip() : before_(skipped) { skipped = true; }
Skip::~Skip() { skipped = before_; }

void normal(Tensor& t, double std, Rng& rng) {
  if (skipped) return constant(t, 0);
  assign(t, [&] { return std * rng.normal(); });
}

void uniform(Tensor& t, double bound, Rng& rng) {
  if (skipped) return constant(t, 0);
  assign(t, [&] { return rng.uniform(-bound, bound); });
}

void constant(Tensor& t, double value) {
  assign(t, [&] { return value; });
}

void xavier_uniform(Tensor& weight, Rng& rng) {
  const std::int64_t area = weight.shape().size() == 4 ? weight.size(2) * weight.size(3) : 1;
  const double fan = static_cast<double>((weight.size(0) + weight.size(1)) * area);
  uniform(weight, std::sqrt(6.0 / fan), rng);
}

}  // namespace pen::init
