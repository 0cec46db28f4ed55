// Memory of one kernel case, on any device: inputs drawn by Philox, outputs poisoned, guard words around every buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace pen::test {

// What a run left in one output.
struct Output {
  std::string name;
  DType dtype = DType::f32;
  bool may_be_zero = false;
  std::vector<double> values, start;  // start: the values before the launch; empty if it was poisoned
  std::vector<std::uint8_t> bytes;    // the very bits
};

// Owner of the buffers; see Buffers for how a case names them.
class Arena {
 public:
  // `omit` is the ordinal of the optional output that is not wanted; -1: all are. The buffer with ordinal `shifted`
  // begins one element behind an address that is as aligned as a tensor's; -1: none does.
  explicit Arena(Device device, int omit = -1, int shifted = -1) : device_(device), omit_(omit), shifted_(shifted) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Fills inputs with their values, outputs with 0xFF bytes (NaN; -1), and the space around them with guard words.
  void reset();
  // One line for each input that has changed and each guard word that is gone.
  std::vector<std::string> damage() const;
  std::vector<Output> outputs() const;
  int optional_outputs() const { return optional_; }
  int buffers() const { return static_cast<int>(entries_.size()); }
  // The buffer named last is all zero when the kernel is right. Otherwise a reference of two or more zeros fails.
  void zeros_are_right() { entries_.back().may_be_zero = true; }

 protected:
  enum class Role { input, output, both };
  void* add(const std::string& name, DType dtype, std::int64_t count, Role role, std::vector<std::uint8_t> start = {});
  // `count` values in [low, high) as bytes of the type. They depend on the name, so that variants of a case (in place,
  // adding, another device) see the same numbers.
  std::vector<std::uint8_t> draw(const std::string& name, DType dtype, std::int64_t count, double low,
                                 double high) const;
  bool wanted() { return optional_++ != omit_; }

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Role role;
    bool may_be_zero;
    std::int64_t count;
    std::vector<std::uint8_t> start;  // bytes before each launch
    void* memory;                     // guard, payload, guard
    std::size_t front;                // bytes of the first guard
  };
  std::vector<std::uint8_t> read(const Entry& entry) const;  // with the guards
  Device device_;
  int omit_, shifted_, optional_ = 0;
  std::vector<Entry> entries_;
};

// The words a case is written in. Pointers are valid until the end of the object's life.
template <class real>
class Buffers : public Arena {
 public:
  using Arena::Arena;
  using value_type = real;
  static constexpr DType type = dtype_of<real>::value, wide_type = dtype_of<wide_t<real>>::value;

  const real* in(const std::string& name, std::int64_t n, double low = -2, double high = 2) {
    return as<real>(add(name, type, n, Role::input, draw(name, type, n, low, high)));
  }
  // What sums, biases and images are of (kernels.def: wide).
  const wide_t<real>* in_wide(const std::string& name, std::int64_t n, double low = -2, double high = 2) {
    return as<wide_t<real>>(add(name, wide_type, n, Role::input, draw(name, wide_type, n, low, high)));
  }
  wide_t<real>* out_wide(const std::string& name, std::int64_t n) {
    return as<wide_t<real>>(add(name, wide_type, n, Role::output));
  }
  // Written or added to, as the kernel's Accum says; see accumulated.
  wide_t<real>* accumulated_wide(const std::string& name, std::int64_t n, kernels::Accum accum) {
    if (accum == kernels::Accum::write) return out_wide(name, n);
    return as<wide_t<real>>(add(name, wide_type, n, Role::both, draw(name, wide_type, n, -2, 2)));
  }
  wide_t<real>* optional_accumulated_wide(const std::string& name, std::int64_t n, kernels::Accum accum) {
    return wanted() ? accumulated_wide(name, n, accum) : nullptr;
  }
  // Integers in [0, below).
  const std::int64_t* in_ids(const std::string& name, std::int64_t n, std::int64_t below) {
    return as<std::int64_t>(
        add(name, DType::i64, n, Role::input, draw(name, DType::i64, n, 0, static_cast<double>(below))));
  }
  const std::uint8_t* in_bytes(const std::string& name, const std::vector<std::uint8_t>& values) {
    return as<std::uint8_t>(add(name, DType::u8, static_cast<std::int64_t>(values.size()), Role::input, values));
  }
  const double* in_f64(const std::string& name, const std::vector<double>& values) {
    return as<double>(add(name, DType::f64, static_cast<std::int64_t>(values.size()), Role::input, bytes_of(values)));
  }
  // Read and written.
  double* state_f64(const std::string& name, const std::vector<double>& values) {
    return as<double>(add(name, DType::f64, static_cast<std::int64_t>(values.size()), Role::both, bytes_of(values)));
  }
  real* out(const std::string& name, std::int64_t n) { return as<real>(add(name, type, n, Role::output)); }
  // An output that is all zero when the kernel is right.
  real* out_zero(const std::string& name, std::int64_t n) {
    real* y = out(name, n);
    zeros_are_right();
    return y;
  }
  std::uint8_t* out_bytes(const std::string& name, std::int64_t n) {
    return as<std::uint8_t>(add(name, DType::u8, n, Role::output));
  }
  std::int64_t* out_ids(const std::string& name, std::int64_t n) {
    return as<std::int64_t>(add(name, DType::i64, n, Role::output));
  }
  // Read and written: state, or an output that may be the input.
  real* inout(const std::string& name, std::int64_t n, double low = -2, double high = 2) {
    return as<real>(add(name, type, n, Role::both, draw(name, type, n, low, high)));
  }
  // Written (poisoned before) or added to (random before), as the kernel's Accum says.
  real* accumulated(const std::string& name, std::int64_t n, kernels::Accum accum) {
    return accum == kernels::Accum::add ? inout(name, n) : out(name, n);
  }
  double* accumulated_f64(const std::string& name, std::int64_t n, kernels::Accum accum) {
    const bool adds = accum == kernels::Accum::add;
    return as<double>(add(name, DType::f64, n, adds ? Role::both : Role::output,
                          adds ? draw(name, DType::f64, n, -2, 2) : std::vector<std::uint8_t>{}));
  }
  // Outputs that may be null ("not wanted").
  real* optional(const std::string& name, std::int64_t n) { return wanted() ? out(name, n) : nullptr; }
  std::uint8_t* optional_bytes(const std::string& name, std::int64_t n) {
    return wanted() ? out_bytes(name, n) : nullptr;
  }

 private:
  static std::vector<std::uint8_t> bytes_of(const std::vector<double>& values) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(values.data());
    return {first, first + values.size() * sizeof(double)};
  }
  template <class T>
  static T* as(void* memory) {
    return static_cast<T*>(memory);
  }
};

}  // namespace pen::test
