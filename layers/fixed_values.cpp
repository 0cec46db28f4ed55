#include "layers/fixed_values.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace pen {
namespace {

std::vector<float> state_values(const std::string& prefix, const NamedTensor& entry, std::uint64_t seed) {
  const Shape& shape = entry.tensor.shape();
  std::vector<float> v = fixed_values(prefix + entry.name, shape, seed);
  const auto each = [&](auto f) { std::transform(v.begin(), v.end(), v.begin(), f); };
  if (shape.size() >= 2) {
    const double fan_in = static_cast<double>(numel_of(shape)) / static_cast<double>(shape[0]);
    const float scale = static_cast<float>(std::sqrt(3.0 / fan_in));
    each([&](float x) { return x * scale; });
  } else if (entry.name.ends_with("running_var")) {
    each([](float x) { return 1.0f + 0.5f * x; });
  } else if (entry.name.ends_with("running_mean") || entry.name.ends_with("bias")) {
    each([](float x) { return 0.1f * x; });
  } else {
    PEN_CHECK(entry.name.ends_with("weight"), "fixed weights: no rule for ", entry.name);
    each([](float x) { return 0.75f + 0.25f * x; });
  }
  return v;
}

bool is_float(const Tensor& t) { return t.dtype() == DType::f32 || t.dtype() == DType::f64; }

}  // namespace

std::vector<float> fixed_values(const std::string& name, const Shape& shape, std::uint64_t seed) {
  std::uint64_t state = 0xcbf29ce484222325ull;
  for (const char ch : name) state = (state ^ static_cast<unsigned char>(ch)) * 0x100000001b3ull;
  state ^= seed;
  std::vector<float> out(static_cast<std::size_t>(numel_of(shape)));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint64_t z = state + (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    out[i] = static_cast<float>(static_cast<double>(z >> 40) * 0x1p-24 * 2 - 1);
  }
  return out;
}

void set_fixed_state(Module& module, const std::string& prefix, std::uint64_t seed) {
  for (const NamedTensor& entry : module.state()) {
    Tensor to = entry.tensor.detach();
    if (is_float(to))
      to.copy_from(Tensor::from(state_values(prefix, entry, seed), to.shape()).to(to.dtype()).to(to.device()));
    else
      to.copy_from(Tensor::zeros(to.shape(), to.dtype(), to.device()));
  }
}

Tensor fixed_images(const std::string& name, std::int64_t n, std::int64_t side, std::uint64_t seed) {
  constexpr std::int64_t pad = 4, window = 9;
  PEN_CHECK(n >= 0 && side > pad, "fixed images: ", n, " of side ", side, " (the side is at least ", pad + 1, ")");
  const std::vector<float> noise = fixed_values(name, {n, 3, side, side}, seed);
  std::vector<float> out(noise.size());
  const auto reflect = [side](std::int64_t i) { return i < 0 ? -i : i >= side ? 2 * side - 2 - i : i; };
  parallel_for(n * 3, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = begin; plane < end; ++plane)
      for (std::int64_t y = 0; y < side; ++y)
        for (std::int64_t x = 0; x < side; ++x) {
          float sum = 0;
          for (std::int64_t i = 0; i < window; ++i)
            for (std::int64_t j = 0; j < window; ++j)
              sum +=
                  2.0f *
                  noise[static_cast<std::size_t>((plane * side + reflect(y + i - pad)) * side + reflect(x + j - pad))];
          const std::int64_t image = plane / 3, channel = plane % 3;
          out[static_cast<std::size_t>(((image * side + y) * side + x) * 3 + channel)] =
              6.0f * (sum / static_cast<float>(window * window));
        }
  });
  return Tensor::from(out, {n, side, side, 3});
}

}  // namespace pen
