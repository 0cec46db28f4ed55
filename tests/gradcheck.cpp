#include "tests/gradcheck.h"

#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"

namespace pen::test {
namespace {

double dot_of_difference(const std::vector<double>& a, const std::vector<double>& b, const std::vector<double>& w) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += w[i] * (a[i] - b[i]);
  return sum;
}

// d <w, f> / d input[which][element]
double difference_quotient(const Function& f, const std::vector<Tensor>& inputs, std::size_t which, std::size_t element,
                           double step, const std::vector<double>& w) {
  const NoGrad no_grad;
  const std::vector<double> values = inputs[which].to_vector<double>();
  const auto at = [&](double x) {
    std::vector<double> moved = values;
    moved[element] = x;
    std::vector<Tensor> arguments = inputs;
    arguments[which] = Tensor::from(moved, inputs[which].shape());
    return f(arguments).to_vector<double>();
  };
  // The step that is taken is the one that double can represent at x.
  const double up = values[element] + step, down = values[element] - step;
  return dot_of_difference(at(up), at(down), w) / (up - down);
}

std::vector<std::size_t> elements_to_check(std::int64_t numel, const GradcheckOptions& options, std::size_t input) {
  std::vector<std::size_t> all(static_cast<std::size_t>(numel));
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (numel <= options.samples) return all;
  Rng rng(options.seed, 100 + input);
  rng.shuffle(all);
  all.resize(static_cast<std::size_t>(options.samples));
  return all;
}

}  // namespace

bool is_real(const Tensor& t) { return t.dtype() == DType::f64 || t.dtype() == DType::f32; }

Tensor cotangent(const Tensor& y, std::uint64_t seed) { return uniform(y.shape(), seed + 7919).to(y.dtype()); }

std::vector<Tensor> leaves(const std::vector<Tensor>& inputs, DType dtype, const std::vector<bool>& wanted) {
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_real(inputs[i])) {
      out.push_back(inputs[i]);
      continue;
    }
    Tensor leaf = inputs[i].to(dtype).clone();
    leaf.set_requires_grad(wanted.empty() || wanted[i]);
    out.push_back(leaf);
  }
  return out;
}

Difference gradcheck(const Function& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
  Difference result;
  const std::vector<Tensor> x = leaves(inputs, DType::f64);
  const Tensor y = f(x);
  const Tensor w = cotangent(y, options.seed);
  backward(y, w);
  const std::vector<double> weights = w.to_vector<double>();
  const Function& numeric_function = options.surrogate ? options.surrogate : f;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_real(inputs[i])) continue;
    const Tensor gradient = x[i].grad();
    if (!gradient.defined() || gradient.shape() != x[i].shape()) {
      result.ok = false;
      result.message = str("input ", i, ": ",
                           gradient.defined() ? "gradient of shape " + to_string(gradient.shape()) : "no gradient");
      return result;
    }
    const std::vector<double> all = gradient.to_vector<double>();
    std::vector<double> got, want;
    const std::vector<std::size_t> elements = elements_to_check(x[i].numel(), options, i);
    for (const std::size_t e : elements) {
      got.push_back(all[e]);
      want.push_back(difference_quotient(numeric_function, inputs, i, e, options.step, weights));
    }
    const Difference d = compare_max(got, want, options.tolerance);
    if (i == 0 || d.error > result.error || !d.ok) {
      result = d;
      result.message = str("gradient of input ", i, " ", to_string(x[i].shape()), ", ", elements.size(),
                           " elements checked: ", d.message);
    }
    if (!d.ok) return result;
  }
  return result;
}

Tensor uniform(Shape shape, std::uint64_t seed, double low, double high) {
  Rng rng(seed, 1);
  std::vector<double> values(static_cast<std::size_t>(numel_of(shape)));
  for (double& v : values) v = rng.uniform(low, high);
  return Tensor::from(values, std::move(shape));
}

Tensor away_from_zero(Shape shape, std::uint64_t seed, double low, double high) {
  Rng rng(seed, 2);
  std::vector<double> values(static_cast<std::size_t>(numel_of(shape)));
  for (double& v : values) v = rng.uniform(low, high) * (rng.bernoulli(0.5) ? 1 : -1);
  return Tensor::from(values, std::move(shape));
}

Tensor distinct(Shape shape, std::uint64_t seed) {
  Rng rng(seed, 3);
  std::vector<double> values(static_cast<std::size_t>(numel_of(shape)));
  const double last = values.size() > 1 ? static_cast<double>(values.size() - 1) : 1;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 2 * static_cast<double>(i) / last - 1;
  rng.shuffle(values);
  return Tensor::from(values, std::move(shape));
}

}  // namespace pen::test
