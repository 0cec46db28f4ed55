// One list of kernel cases for many consumers: parity between backends, guard words, equal bits, null outputs,
// accumulation, benchmarks. A test guards that each kernel of kernels.def has one.
//
// A case's body names its buffers and returns the launch:
//   [=](auto& b) -> Call {
//     auto x = b.in("x", n);
//     auto y = b.out("y", n);
//     return [=](const Context& ctx) { kernels::copy(ctx, n, x, y); };
//   }
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "tests/buffers.h"

namespace pen::test {

using kernels::Accum;
using kernels::Context;
using Call = std::function<void(const Context&)>;

struct Case {
  std::string kernel, name;     // name: the kernel and what is special ("conv2d_fwd 7x7 stride 2")
  double tolerance = 0;         // of float, relative to the largest element of the reference; 0: equal bits
  double tolerance_double = 0;  // of double
  std::string equal_bits_with;  // a case whose outputs, in order, must have the same bits (in-place variants)
  std::string adds_to;          // for Accum::add: the Accum::write case; this one must give its start plus that
  std::function<Call(Buffers<float>&)> body_f32;
  std::function<Call(Buffers<double>&)> body_f64;
  std::function<Call(Buffers<bf16>&)> body_bf16;  // empty: not a kernel of 16 bit
  std::function<Call(Buffers<f16>&)> body_f16;    // the same
};

// The tolerances of the list, float and double.
struct Tolerance {
  double f32, f64;
};
constexpr Tolerance exact{0, 0};               // moves, comparisons, Philox
constexpr Tolerance elementwise{2e-6, 1e-14};  // a few roundings; exp, log and tanh differ between host and device
constexpr Tolerance summed{2e-6, 1e-12};       // sums in double in another order: at most n eps = 8e-12 for the longest
constexpr double rounded_bf16 = 1e-2;          // a result rounded to 8 bits, after one that was
constexpr double rounded_f16 = 1.3e-3;         // the same with 11 bits
constexpr Tolerance product{1e-5, 1e-13};      // dot products of up to about a thousand terms, in float

class Registry {
 public:
  template <class Body>
  Case& add(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    Case c;
    c.kernel = kernel;
    c.name = kernel + " " + variant;
    c.tolerance = tolerance.f32;
    c.tolerance_double = tolerance.f64;
    c.body_f32 = [body](Buffers<float>& b) { return body(b); };
    c.body_f64 = [body](Buffers<double>& b) { return body(b); };
    cases.push_back(std::move(c));
    return cases.back();
  }
  // A case of a kernel that 16 bit has too. What the kernel sums or is biased by comes from in_wide and out_wide.
  template <class Body>
  Case& add16(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    Case& c = add(kernel, variant, tolerance, body);
    c.body_bf16 = [body](Buffers<bf16>& b) { return body(b); };
    c.body_f16 = [body](Buffers<f16>& b) { return body(b); };
    return c;
  }
  // Two cases from body(buffers, accum): the writing one and the adding one.
  template <class Body>
  void add_both(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    add(kernel, variant, tolerance, [body](auto& b) -> Call { return body(b, Accum::write); });
    add(kernel, variant + " add", tolerance, [body](auto& b) -> Call { return body(b, Accum::add); }).adds_to =
        kernel + " " + variant;
  }
  template <class Body>
  void add_both16(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    add16(kernel, variant, tolerance, [body](auto& b) -> Call { return body(b, Accum::write); });
    add16(kernel, variant + " add", tolerance, [body](auto& b) -> Call { return body(b, Accum::add); }).adds_to =
        kernel + " " + variant;
  }
  // Two cases from body(buffers, in_place): the second must give the bits of the first.
  template <class Body>
  void add_in_place(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    add(kernel, variant, tolerance, [body](auto& b) -> Call { return body(b, false); });
    add(kernel, variant + " in place", tolerance, [body](auto& b) -> Call { return body(b, true); }).equal_bits_with =
        kernel + " " + variant;
  }
  template <class Body>
  void add_in_place16(const std::string& kernel, const std::string& variant, Tolerance tolerance, Body body) {
    add16(kernel, variant, tolerance, [body](auto& b) -> Call { return body(b, false); });
    add16(kernel, variant + " in place", tolerance, [body](auto& b) -> Call { return body(b, true); }).equal_bits_with =
        kernel + " " + variant;
  }
  std::vector<Case> cases;
};

// Convolutions of every kind, by name; their outputs' extents are filled in.
struct NamedConv {
  const char* name;
  kernels::Conv2d d;
};
std::vector<NamedConv> convolutions();  // cases_library.cpp

// Weights of another type are other contents, and need another name.
inline kernels::Conv2d with_key_of(DType type, kernels::Conv2d d) {
  if (d.weight_key) d.weight_key += static_cast<std::uint64_t>(type) << 32;
  return d;
}

// Each file of cases adds its part.
void add_library_cases(Registry& r);    // cases_library.cpp
void add_frozen_cases(Registry& r);     // cases_frozen.cpp: fused convolutions, gates
void add_pointwise_cases(Registry& r);  // cases_pointwise.cpp
void add_norm_cases(Registry& r);       // cases_norm.cpp: norm in evaluation, optimisers
void add_rows_cases(Registry& r);       // cases_rows.cpp: rows and columns, resizing
void add_image_cases(Registry& r);      // cases_image.cpp: masks, logits
void add_layout_cases(Registry& r);     // cases_layout.cpp: windows, permutations, filters
void add_pixel_cases(Registry& r);      // cases_pixels.cpp: decoded images

const std::vector<Case>& all_cases();

// What is true of a kernel for all its cases.
bool is_library(const std::string& kernel);  // kernels.def says "library"

}  // namespace pen::test
