#include "tests/golden_state.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace pen::test {
Tensor fill_activation(const std::string& name, const Shape& nchw, std::uint64_t seed, DType dtype, float factor) {
  const std::vector<float> v = fill(name, nchw, seed);
  const std::int64_t n = nchw.at(0), c = nchw.at(1), area = nchw.at(2) * nchw.at(3);
  std::vector<float> out(v.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < c; ++k)
      for (std::int64_t p = 0; p < area; ++p)
        out[static_cast<std::size_t>((i * area + p) * c + k)] =
            factor * v[static_cast<std::size_t>((i * c + k) * area + p)];
  return Tensor::from(out, {n, nchw[2], nchw[3], c}).to(dtype);
}

std::vector<double> values_of(const Tensor& t) {
  PEN_CHECK(t.defined(), "values_of: there is no tensor (no gradient arrived?)");
  if (t.dtype() == DType::f64) return t.to_vector<double>();
  return to_double(t.to_vector<float>());
}

std::vector<double> channels_first(const Tensor& t) {
  const std::vector<double> v = values_of(t);
  if (t.shape().size() != 4) return v;
  const std::int64_t n = t.size(0), area = t.size(1) * t.size(2), c = t.size(3);
  std::vector<double> out(v.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t p = 0; p < area; ++p)
      for (std::int64_t k = 0; k < c; ++k)
        out[static_cast<std::size_t>((i * c + k) * area + p)] = v[static_cast<std::size_t>((i * area + p) * c + k)];
  return out;
}

Answer activation(const Tensor& t) {
  Answer answer{t.shape(), channels_first(t)};
  if (t.shape().size() == 4) answer.shape = {t.size(0), t.size(3), t.size(1), t.size(2)};
  return answer;
}

Answer parameter(const Tensor& t) {
  std::vector<double> values = values_of(t);
  return {t.shape(), std::move(values)};
}

std::int64_t sample_stride(std::int64_t numel, std::int64_t count) {
  PEN_CHECK(count >= 1 && count <= numel, "a sample of ", count, " elements of ", numel);
  for (std::int64_t s = 1;; s += 2) {
    const std::int64_t length = (numel + s - 1) / s;
    if (length == count) return s;
    PEN_CHECK(length > count, "no odd stride samples ", count, " of ", numel, " elements");
  }
}

RecordedTensor::RecordedTensor(const Golden& golden, const std::string& name) : name_(name) {
  if (golden.has(name)) {
    shape_ = golden.shape(name);
    stored_ = golden.f64(name);
    return;
  }
  shape_ = golden.i64(name + "#shape");
  stored_ = golden.f64(name + "#sample");
  moments_ = golden.f64(name + "#moments");
  stride_ = sample_stride(numel_of(shape_), static_cast<std::int64_t>(stored_.size()));
  PEN_CHECK(moments_.size() == 4, name, "#moments has ", moments_.size(), " entries");
}

std::vector<double> RecordedTensor::sampled(const std::vector<double>& whole) const {
  std::vector<double> out;
  for (std::size_t i = 0; i < whole.size(); i += static_cast<std::size_t>(stride_)) out.push_back(whole[i]);
  return out;
}

Difference RecordedTensor::compare(const Answer& got, double tolerance, double slack) const {
  Difference d;
  if (got.shape != shape_) {
    d.message = str(name_, ": shape ", to_string(got.shape), ", recorded ", to_string(shape_));
    return d;
  }
  d = compare_l2(sampled(got.values), stored_, tolerance);
  d.message = name_ + ": " + d.message;
  if (!d.ok || moments_.empty()) return d;
  double sum = 0, absolute = 0, squares = 0, largest = 0;
  for (const double x : got.values) {
    sum += x;
    absolute += std::abs(x);
    squares += x * x;
    largest = std::max(largest, std::abs(x));
  }
  // For an error e of the whole tensor x with |e| = t |x|: |sum e| and |sum |x+e| - sum |x|| are at most sqrt(n) |e|
  // (Cauchy and Schwarz), the squares move by at most (2 t + t^2) |x|^2, the maximum by at most |e|.
  const double norm = std::sqrt(moments_[2]), error = tolerance * norm;
  const double spread = std::sqrt(static_cast<double>(got.values.size())) * error;
  const double bounds[] = {std::max(spread, slack * moments_[1]), std::max(spread, slack * moments_[1]),
                           std::max((2 + tolerance) * error * norm, slack * moments_[2]),
                           std::max(error, slack * moments_[3])};
  const double have[] = {sum, absolute, squares, largest};
  const char* const what[] = {"sum", "sum of absolute values", "sum of squares", "maximum"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (std::abs(have[i] - moments_[i]) <= bounds[i]) continue;
    d.ok = false;
    d.message +=
        str("; ", what[i], " of all elements is ", have[i], ", recorded ", moments_[i], " (bound ", bounds[i], ")");
  }
  return d;
}

Recorded::Recorded(const std::string& name, double sharp)
    : f32_(name + ".safetensors"), f64_(name + "_f64.safetensors"), sharp_(sharp) {
  PEN_CHECK(f32_.seed() == f64_.seed(), name, ": the recordings in float32 and double have different seeds");
}

std::vector<std::string> Recorded::names(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const std::string& name : f64_.names()) {
    if (!name.starts_with(prefix) || name.ends_with("#shape") || name.ends_with("#moments")) continue;
    const std::size_t end = name.ends_with("#sample") ? name.size() - 7 : name.size();
    out.push_back(name.substr(prefix.size(), end - prefix.size()));
  }
  return out;
}

Difference Recorded::compare(const std::string& name, const Answer& got, DType computed_in) const {
  const RecordedTensor exact(f64_, name);
  if (computed_in == DType::f64) return exact.compare(got, sharp_);
  const RecordedTensor rounded(f32_, name);
  const double noise = relative_l2(rounded.stored(), exact.stored());
  // Outside of the sample one value may fall on the other side of a ReLU, unseen by the recording's sampled noise.
  constexpr double one_flip = 1e-4;
  return exact.compare(got, std::max(4 * noise, 1e-6), one_flip);
}

}  // namespace pen::test
