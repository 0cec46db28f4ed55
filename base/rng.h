// Random numbers: Philox, a pure function of (seed, stream, index), for everything of ours; MT19937 with NumPy's
// legacy shuffle, for splits that must equal the reference's.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#if defined(__CUDACC__)
#define PEN_HD __host__ __device__
#else
#define PEN_HD
#endif

namespace pen {

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four 32-bit words
// from a 64-bit key (seed) and a 128-bit counter (index, stream). The same on every device.
struct Philox4 {
  std::uint32_t v[4];
};

PEN_HD inline Philox4 philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = static_cast<std::uint32_t>(stream >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits: exact in float and double, so equal on all devices and types.
PEN_HD inline double philox_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const Philox4 r = philox(seed, stream, index >> 2);
  return static_cast<double>(r.v[index & 3] >> 8) * (1.0 / 16777216.0);
}

// A sequence of draws from one Philox stream. Its whole state is (seed, stream, position): three numbers to save.
class Rng {
 public:
  explicit Rng(std::uint64_t seed = 0, std::uint64_t stream = 0, std::uint64_t position = 0)
      : seed_(seed), stream_(stream), position_(position) {}
  std::uint64_t seed() const { return seed_; }
  std::uint64_t stream() const { return stream_; }
  std::uint64_t position() const { return position_; }
  void set_position(std::uint64_t position) { position_ = position; }

  double uniform() { return philox_uniform(seed_, stream_, position_++); }  // [0, 1), 24 bits
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();                       // N(0, 1) by Box-Muller, two draws each
  std::uint64_t below(std::uint64_t n);  // uniform in [0, n), n >= 1, without modulo bias
  bool bernoulli(double p) { return uniform() < p; }
  // Reserves n consecutive draws for a kernel that indexes them itself; returns the first one's position.
  std::uint64_t reserve(std::uint64_t n) {
    const std::uint64_t first = position_;
    position_ += n;
    return first;
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint32_t next32();
  std::uint64_t seed_, stream_, position_;
};

// MT19937 (Matsumoto, Nishimura 1998), seeded by init_genrand, and the shuffle of NumPy's legacy RandomState.
class Mt19937 {
 public:
  explicit Mt19937(std::uint32_t seed);
  std::uint32_t next();
  // Uniform in [0, max] by masked rejection of 32-bit draws.
  std::uint32_t bounded(std::uint32_t max);
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i-- > 1;) {
      const std::size_t j = bounded(static_cast<std::uint32_t>(i));
      if (i != j) std::swap(items[i], items[j]);
    }
  }

 private:
  std::array<std::uint32_t, 624> state_;
  std::size_t position_ = 624;
};

}  // namespace pen
