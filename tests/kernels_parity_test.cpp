// Every case of the list: the CPU's kernels (and a GPU's, where there is one) against the plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "kernels/cuda/device.h"
#include "tests/cases.h"
#include "tests/compare.h"
#include "tests/skip.h"

using namespace pen;
using namespace pen::test;

namespace {

const Context cpu_context{};
const Context reference_context{.device = {}, .backend = kernels::Backend::reference};

template <class real>
const std::function<Call(Buffers<real>&)>& body_of(const Case& c) {
  if constexpr (std::is_same_v<real, float>) {
    return c.body_f32;
  } else if constexpr (std::is_same_v<real, bf16>) {
    return c.body_bf16;
  } else if constexpr (std::is_same_v<real, f16>) {
    return c.body_f16;
  } else {
    return c.body_f64;
  }
}

// Restores the number of threads at the end of a scope.
struct ThreadScope {
  explicit ThreadScope(int count) : former(threads()) { set_threads(count); }
  ~ThreadScope() { set_threads(former); }
  int former;
};

struct Result {
  std::vector<Output> outputs;
  int optional_outputs = 0;
};

// Launches a case twice, each time from poisoned outputs: equal bits, and nothing damaged.
template <class real>
Result run(const Case& c, const Context& ctx, int omit = -1, int shifted = -1) {
  Buffers<real> buffers(ctx.device, omit, shifted);
  const Call launch = body_of<real>(c)(buffers);
  Result first;
  for (int i = 0; i < 2; ++i) {
    buffers.reset();
    launch(ctx);
    for (const std::string& line : buffers.damage()) FAIL_CHECK(c.name << ": " << line);
    std::vector<Output> outputs = buffers.outputs();
    if (i == 0) {
      first = {std::move(outputs), buffers.optional_outputs()};
      continue;
    }
    for (std::size_t o = 0; o < outputs.size(); ++o)
      CHECK_MESSAGE(outputs[o].bytes == first.outputs[o].bytes,
                    c.name << ": " << outputs[o].name << ": a second run gave other bits");
  }
  return first;
}

void check_equal_bits(const std::string& what, const std::vector<Output>& got, const std::vector<Output>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t o = 0; o < got.size(); ++o)
    CHECK_MESSAGE(got[o].bytes == want[o].bytes, what << ": " << got[o].name << " has other bits");
}

void check_close(const std::string& what, const Output& got, const std::vector<double>& want, double tolerance) {
  if (want.empty()) {  // a case of size 0
    CHECK_MESSAGE(got.values.empty(), what << ": " << got.name);
    return;
  }
  const bool zeros_pass = got.may_be_zero || want.size() == 1;
  const Difference d = compare_max(got.values, want, tolerance, zeros_pass ? Zeros::expected : Zeros::refused);
  CHECK_MESSAGE(d.ok, what << ": " << got.name << ": " << d.message);
}

template <class real>
void check_parity(const Case& c, const Context& ctx, int shifted = -1) {
  const double rounded = std::is_same_v<real, f16> ? rounded_f16 : rounded_bf16;
  // What is float32 in 16 bit too has not been rounded to it: statistics, gradients of parameters. On a GPU cuDNN
  // rounds sums on their way to a gradient of weights or of a mask.
  const auto tolerance_of = [&](const Output& o) {
    if (sizeof(real) != 2 || c.tolerance == 0) return sizeof(real) == 8 ? c.tolerance_double : c.tolerance;
    const bool wide = o.dtype == DType::f32 && !(ctx.device.is_cuda() && c.kernel.rfind("conv2d_", 0) == 0);
    return wide ? c.tolerance : rounded;
  };
  const Result want = run<real>(c, reference_context), got = run<real>(c, ctx, -1, shifted);
  const std::string what = str(c.name, ' ', pen::name_of(dtype_of<real>::value));
  REQUIRE_MESSAGE(!got.outputs.empty(), what << ": a case without outputs");
  for (std::size_t o = 0; o < got.outputs.size(); ++o)
    check_close(what, got.outputs[o], want.outputs[o].values, tolerance_of(got.outputs[o]));
  if (shifted >= 0) return;
  // Each output that may be null in turn: the others stay. (Not to the bit: a compiler gives each combination a loop of
  // its own and may round a product differently there.)
  for (int omit = 0; omit < got.optional_outputs; ++omit) {
    const Result part = run<real>(c, ctx, omit);
    REQUIRE_MESSAGE(part.outputs.size() + 1 == got.outputs.size(), what << ": output " << omit << " was not left out");
    for (const Output& p : part.outputs)
      for (const Output& w : want.outputs)
        if (p.name == w.name) check_close(str(what, " without output ", omit), p, w.values, tolerance_of(p));
  }
}

// A share of the cases: on a GPU cuDNN makes plans for each, on one core, and the shares may be run side by side
// (scripts/gpu-check).
struct Share {
  std::size_t index = 0, count = 1;
};
template <class F>
void for_share(const Share& share, F wanted_and_check) {
  const std::vector<Case>& cases = all_cases();
  REQUIRE(share.index < share.count);
  int checked = 0;
  for (std::size_t i = share.index; i < cases.size(); i += share.count) checked += wanted_and_check(cases[i]);
  CHECK(checked * static_cast<int>(share.count) > 50);
}

// Products and sums are those of float32: what differs is the last rounding.
template <class real>
void check_16_bit(const Context& ctx, const Share& share = {}) {
  for_share(share, [&](const Case& c) {
    if (!body_of<real>(c)) return false;
    check_parity<real>(c, ctx);
    return true;
  });
}

// Each buffer in turn begins one element behind where a tensor's memory does, so that nothing may read several elements
// of it at once. (The library's plans are for aligned memory.)
int check_shifted(const Context& ctx) {
  int checked = 0;
  const auto check = [&]<class real>(const Case& c) {
    if (!body_of<real>(c)) return;
    Buffers<real> named(Device{});
    body_of<real>(c)(named);
    for (int i = 0; i < named.buffers(); ++i, ++checked) check_parity<real>(c, ctx, i);
  };
  for (const Case& c : all_cases()) {
    if (c.kernel.rfind("conv2d_", 0) == 0 || c.kernel == "matmul") continue;
    check.template operator()<float>(c);
    check.template operator()<bf16>(c);
  }
  return checked;
}

// In-place variants give the bits of the ordinary case; adding gives the start plus what writing gives.
template <class real>
void check_relations(const Context& ctx, bool library) {
  std::map<std::string, const Case*> by_name;
  for (const Case& c : all_cases()) CHECK_MESSAGE(by_name.emplace(c.name, &c).second, "two cases called " << c.name);
  for (const Case& c : all_cases()) {
    if (is_library(c.kernel) != library) continue;
    if (!c.equal_bits_with.empty())
      check_equal_bits(c.name, run<real>(c, ctx).outputs, run<real>(*by_name.at(c.equal_bits_with), ctx).outputs);
    if (c.adds_to.empty()) continue;
    const Result sum = run<real>(c, ctx), written = run<real>(*by_name.at(c.adds_to), ctx);
    for (std::size_t o = 0; o < sum.outputs.size(); ++o) {
      if (sum.outputs[o].start.empty()) {  // an output that is always written
        check_equal_bits(c.name, {sum.outputs[o]}, {written.outputs[o]});
        continue;
      }
      std::vector<double> want = sum.outputs[o].start;
      for (std::size_t i = 0; i < want.size(); ++i) want[i] += written.outputs[o].values[i];
      // The written value is rounded once more than the sum is.
      check_close(c.name, sum.outputs[o], want, sizeof(real) == 4 ? 1e-6 : 1e-14);
    }
  }
}

template <class F>
void on_gpu(F check, const Share& share) {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  const Device gpu{Device::Kind::cuda, 0};
  check({.device = gpu, .stream = kernels::device::stream(gpu)}, share);
}

}  // namespace

TEST_CASE("cases: every kernel of the list has one, and no case is for another kernel") {
  std::set<std::string> with_case, listed;
  for (const Case& c : all_cases()) with_case.insert(c.kernel);
  std::size_t count = 0;
  const kernels::KernelInfo* list = kernels::kernel_list(count);
  REQUIRE(count > 0);
  for (std::size_t i = 0; i < count; ++i) {
    listed.insert(list[i].name);
    CHECK_MESSAGE(with_case.count(list[i].name) == 1, list[i].name << " has no case in tests/cases_*.cpp");
  }
  CHECK(with_case.size() == listed.size());
}

TEST_CASE("buffers: a write outside, a changed input and a missing output are found") {
  Buffers<float> b(Device{});
  const float* x = b.in("x", 5);
  float* y = b.out("y", 5);
  b.reset();
  CHECK(b.damage().empty());
  CHECK(std::isnan(b.outputs()[0].values[4]));
  y[5] = 1;
  CHECK(b.damage() == std::vector<std::string>{"y: written behind its end"});
  b.reset();
  y[-1] = 1;
  CHECK(b.damage() == std::vector<std::string>{"y: written before its begin"});
  b.reset();
  const_cast<float*>(x)[0] += 1;
  CHECK(b.damage() == std::vector<std::string>{"x: an input has changed"});
}

TEST_CASE("parity: shared kernels on the CPU, float and double") {
  for (const Case& c : all_cases()) {
    if (is_library(c.kernel)) continue;
    check_parity<float>(c, cpu_context);
    check_parity<double>(c, cpu_context);
  }
}

// In double the CPU's library kernels are the plain loops themselves: there is nothing to compare.
TEST_CASE("parity: library kernels on the CPU, float") {
  for (const Case& c : all_cases())
    if (is_library(c.kernel)) check_parity<float>(c, cpu_context);
}

TEST_CASE("parity: one and two threads give equal bits, shared kernels on the CPU") {
  for (const Case& c : all_cases()) {
    if (is_library(c.kernel)) continue;
    Result one, two, three;
    {
      const ThreadScope scope(1);
      one = run<float>(c, cpu_context);
    }
    {
      const ThreadScope scope(2);
      two = run<float>(c, cpu_context);
    }
    {
      const ThreadScope scope(3);
      three = run<float>(c, cpu_context);
    }
    check_equal_bits(c.name + ", 1 and 2 threads", two.outputs, one.outputs);
    check_equal_bits(c.name + ", 1 and 3 threads", three.outputs, one.outputs);
  }
}

TEST_CASE("relations: in place and accumulation, shared kernels on the CPU") {
  check_relations<float>(cpu_context, false);
  check_relations<double>(cpu_context, false);
}

TEST_CASE("relations: in place and accumulation, library kernels on the CPU and plain loops") {
  check_relations<float>(cpu_context, true);
  check_relations<float>(reference_context, true);
  check_relations<double>(reference_context, true);
}

TEST_CASE("relations: in place and accumulation, shared kernels as plain loops") {
  check_relations<float>(reference_context, false);
}

TEST_CASE("cuda: shared kernels, float and double") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  const Device gpu{Device::Kind::cuda, 0};
  const Context ctx{.device = gpu, .stream = kernels::device::stream(gpu)};
  for (const Case& c : all_cases()) {
    if (is_library(c.kernel)) continue;
    check_parity<float>(c, ctx);
    check_parity<double>(c, ctx);
  }
  check_relations<float>(ctx, false);
}

// Test cases for the shares of what `check` is given.
#define PEN_IN_SHARES(name, check)                                          \
  TEST_CASE("cuda: " name ", share 1 of 4") { on_gpu(check, Share{0, 4}); } \
  TEST_CASE("cuda: " name ", share 2 of 4") { on_gpu(check, Share{1, 4}); } \
  TEST_CASE("cuda: " name ", share 3 of 4") { on_gpu(check, Share{2, 4}); } \
  TEST_CASE("cuda: " name ", share 4 of 4") { on_gpu(check, Share{3, 4}); }

PEN_IN_SHARES("library kernels, float and double", [](const Context& ctx, const Share& share) {
  for_share(share, [&](const Case& c) {
    if (!is_library(c.kernel)) return false;
    check_parity<float>(c, ctx);
    check_parity<double>(c, ctx);
    return true;
  });
})

TEST_CASE("cuda: relations of library kernels") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  const Device gpu{Device::Kind::cuda, 0};
  check_relations<float>({.device = gpu, .stream = kernels::device::stream(gpu)}, true);
}

TEST_CASE("16 bit: the kernels of frozen networks on the CPU") {
  check_16_bit<f16>(cpu_context);
  if (!kernels::device::has_bf16({})) PEN_SKIP("needs a CPU with bfloat16 arithmetic");
  check_16_bit<bf16>(cpu_context);
}

TEST_CASE("cuda: memory that begins anywhere") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  const Device gpu{Device::Kind::cuda, 0};
  CHECK(check_shifted({.device = gpu, .stream = kernels::device::stream(gpu)}) > 1000);
}

PEN_IN_SHARES("the kernels of frozen networks in bf16", check_16_bit<bf16>)
PEN_IN_SHARES("the kernels of frozen networks in f16", check_16_bit<f16>)

// Products of 10-bit mantissas: 2^-11 each, of sums of up to a thousand.
PEN_IN_SHARES("convolutions and products in TF32 are near", [](Context ctx, const Share& share) {
  ctx.math = kernels::Math::tf32;
  for_share(share, [&](Case c) {
    if (c.kernel.rfind("conv2d_", 0) != 0 && c.kernel != "matmul") return false;
    c.tolerance = 5e-3;
    check_parity<float>(c, ctx);
    return true;
  });
})
#undef PEN_IN_SHARES

TEST_CASE("cuda: on a GPU that is not there every kernel refuses by name") {
  const Context ctx{.device = {Device::Kind::cuda, kernels::device::cuda_count()}};
  for (const Case& c : all_cases()) {
    Buffers<float> buffers(Device{});
    const Call launch = c.body_f32(buffers);
    buffers.reset();
    try {
      launch(ctx);
      FAIL_CHECK(c.name << ": ran on a GPU that is not there");
    } catch (const Error& error) {
      const std::string what = error.what();
      CHECK_MESSAGE(error.kind() == ErrorKind::device, what);
      CHECK_MESSAGE(!error.hint().empty(), what);
      CHECK_MESSAGE(what.rfind(c.kernel + ": ", 0) == 0, c.kernel << " is not named by: " << what);
      if (!kernels::cuda::built()) CHECK(what == c.kernel + ": built without CUDA");
    }
    for (const std::string& line : buffers.damage()) FAIL_CHECK(c.name << ": " << line);
  }
}
