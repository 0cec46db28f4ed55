// Operations against the recording (ops.safetensors): forward and all gradients of every case in the file, in float32
// and double, on the native and the reference backend.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>

#include "kernels/kernels.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"
#include "tests/gradcheck.h"
#include "tests/paths.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::test;

namespace {

// A recorded tensor: four dimensions of an activation are N,C,H,W in the file.
Tensor recorded(const Golden& golden, const std::string& name, bool activation, DType dtype) {
  const std::vector<float> v = golden.f32(name);
  const Shape s = golden.shape(name);
  if (!activation || s.size() != 4) return Tensor::from(v, s).to(dtype);
  Tensor out = Tensor::empty({s[0], s[2], s[3], s[1]});
  kernels::nchw_to_nhwc(context({}), s[0], s[1], s[2], s[3], v.data(), out.mutable_data<float>());
  return out.to(dtype);
}

// What a case's function needs besides its inputs.
struct Case {
  const Golden& golden;
  std::string name;
  DType dtype;
  std::smatch match;                         // the case's name, taken apart
  std::map<std::string, Tensor> extra;       // parameters that are not recorded: "weight", "bias"
  std::map<std::string, Tensor> afterwards;  // what the forward pass must have changed, by recorded name
  std::set<std::string> used{};              // recorded tensors that were read or compared

  int number(std::size_t group) const { return std::stoi(match[group]); }
  // Height and width of the recorded result.
  std::pair<std::int64_t, std::int64_t> size() const {
    const Shape s = golden.shape(name + ".y");
    return {s.at(2), s.at(3)};
  }
};
using Inputs = std::vector<Tensor>;
using Handler = std::function<Tensor(Case&, const Inputs&)>;

// running statistics and parameters by the rule of fill_state('ops.bn.')
Tensor batch_norm(Case& c, const Inputs& x) {
  const Shape channels{x[0].size(-1)};
  const auto make = [&](const std::string& name, float offset, float factor) {
    std::vector<float> v = fill("ops.bn." + name, channels, c.golden.seed());
    for (float& e : v) e = offset + factor * e;
    return Tensor::from(v, channels).to(c.dtype).clone();
  };
  c.extra["weight"] = make("weight", 0.75f, 0.25f).set_requires_grad(true);
  c.extra["bias"] = make("bias", 0, 0.1f).set_requires_grad(true);
  Tensor mean = make("running_mean", 0, 0.1f), var = make("running_var", 1, 0.5f);
  const Tensor y = ops::batch_norm(x[0], c.extra["weight"], c.extra["bias"], mean, var,
                                   {.training = c.match[1] == "train", .momentum = 0.1, .eps = 1e-5});
  c.afterwards = {{"running_mean_after", mean}, {"running_var_after", var}};
  return y;
}

Tensor convolution(const Inputs& x, const ops::ConvOptions& o) {
  return ops::conv2d(x[0], x[1], x.size() > 2 ? x[2] : Tensor(), o);
}

// Every case of the file by the form of its name.
const std::vector<std::pair<std::string, Handler>>& handlers() {
  static const std::vector<std::pair<std::string, Handler>> list{
      {R"(conv_k(\d+)_s(\d+)_p(\d+)_d(\d+))",
       [](Case& c, const Inputs& x) {
         CHECK(x[1].size(2) == c.number(1));
         return convolution(x, {.stride = c.number(2), .pad = c.number(3), .dilation = c.number(4)});
       }},
      {R"(conv_groups(\d+))",
       [](Case& c, const Inputs& x) {
         return convolution(x, {.pad = static_cast<int>(x[1].size(2) / 2), .groups = c.number(1)});
       }},
      {R"(conv_transpose_k(\d+)_s(\d+)_p(\d+))",
       [](Case& c, const Inputs& x) {
         return ops::conv_transpose2d(x[0], x[1], x.size() > 2 ? x[2] : Tensor(),
                                      {.stride = c.number(2), .pad = c.number(3)});
       }},
      {"linear", [](Case&, const Inputs& x) { return ops::linear(x[0], x[1], x[2]); }},
      {R"((max|avg)_pool_k(\d+)_s(\d+)(?:_p(\d+))?)",
       [](Case& c, const Inputs& x) {
         const ops::PoolOptions o{c.number(2), c.number(3), c.match[4].matched ? c.number(4) : 0};
         return c.match[1] == "max" ? ops::max_pool2d(x[0], o) : ops::avg_pool2d(x[0], o);
       }},
      {R"((?:upsample|resize)_nearest_(?:x\d+|half|\d+x\d+))",
       [](Case& c, const Inputs& x) { return ops::resize_nearest(x[0], c.size().first, c.size().second); }},
      {R"((?:upsample|resize)_bilinear(_ac)?_(?:x\d+|(?:down_)?\d+x\d+))",
       [](Case& c, const Inputs& x) {
         return ops::resize_bilinear(x[0], c.size().first, c.size().second, c.match[1].matched);
       }},
      {"batch_norm_(train|eval)", batch_norm},
      {"relu", [](Case&, const Inputs& x) { return ops::relu(x[0]); }},
      {R"(leaky_relu_(\d+)_(\d+))",
       [](Case& c, const Inputs& x) {
         return ops::leaky_relu(x[0], std::stod(c.match[1].str() + "." + c.match[2].str()));
       }},
      {"elu", [](Case&, const Inputs& x) { return ops::elu(x[0]); }},
      {"sigmoid", [](Case&, const Inputs& x) { return ops::sigmoid(x[0]); }},
      {"tanh", [](Case&, const Inputs& x) { return ops::tanh(x[0]); }},
      {"softmax", [](Case&, const Inputs& x) { return ops::softmax(x[0]); }},
      {"log_softmax", [](Case&, const Inputs& x) { return ops::log_softmax(x[0]); }},
      {"cross_entropy",
       [](Case& c, const Inputs& x) {
         const std::vector<std::int64_t> target = c.golden.i64(c.name + ".target");
         c.used.insert(c.name + ".target");
         return ops::mean(ops::cross_entropy(x[0], Tensor::from(target, {static_cast<std::int64_t>(target.size())})));
       }},
  };
  return list;
}

const Handler* find_handler(Case& c) {
  for (const auto& [form, handler] : handlers())
    if (std::regex_match(c.name, c.match, std::regex(form))) return &handler;
  return nullptr;
}

std::set<std::string> case_names(const Golden& golden) {
  std::set<std::string> names;
  for (const std::string& tensor : golden.names()) names.insert(tensor.substr(0, tensor.find('.')));
  return names;
}

// The recordings are float32 sums of up to some hundred products of PyTorch's: what a result in double may differ by.
// In float32 our own rounding joins it.
double tolerance(DType dtype) { return dtype == DType::f32 ? 1e-5 : 3e-6; }

void check(Case& c, const std::string& tensor, const Answer& got) {
  const std::string name = c.name + "." + tensor;
  c.used.insert(name);
  REQUIRE_MESSAGE(c.golden.has(name), name);
  CHECK_MESSAGE(got.shape == c.golden.shape(name), name << ": shape " << to_string(got.shape));
  const Difference d = compare_max(got.values, c.golden.f64(name), tolerance(c.dtype));
  CHECK_MESSAGE(d.ok, name << " in " << std::string(name_of(c.dtype)) << ": " << d.message);
}

void run_case(Case& c) {
  const Handler* handler = find_handler(c);
  REQUIRE_MESSAGE(handler, "the recording has a case '" << c.name << "' that this test does not know");
  Inputs x;
  for (int i = 0; c.golden.has(c.name + ".x" + std::to_string(i)); ++i) {
    const std::string name = c.name + ".x" + std::to_string(i);
    c.used.insert(name);
    x.push_back(recorded(c.golden, name, i == 0, c.dtype).clone().set_requires_grad(true));
  }
  REQUIRE_MESSAGE(!x.empty(), c.name);
  const Tensor y = (*handler)(c, x);
  check(c, "y", activation(y));

  // Both batch norm cases share one cotangent, named after their parameters' prefix.
  const std::string dy = c.name.starts_with("batch_norm_") ? "ops.bn.dy" : "ops." + c.name + ".dy";
  const Shape shape = c.golden.shape(c.name + ".y");
  backward(y, shape.size() == 4 ? fill_activation(dy, shape, c.golden.seed(), c.dtype)
                                : Tensor::from(fill(dy, shape, c.golden.seed()), shape).to(c.dtype));
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE_MESSAGE(x[i].grad().defined(), c.name);
    check(c, "dx" + std::to_string(i), i == 0 ? activation(x[i].grad()) : parameter(x[i].grad()));
  }
  for (const auto& [name, tensor] : c.extra) check(c, "d" + name, parameter(tensor.grad()));
  for (const auto& [name, tensor] : c.afterwards) check(c, name, parameter(tensor));
}

void run_all(kernels::Backend backend) {
  const BackendScope scope(backend);
  const Golden golden("ops.safetensors");
  const std::set<std::string> names = case_names(golden);
  REQUIRE(!names.empty());
  for (const DType dtype : {DType::f32, DType::f64}) {
    std::set<std::string> used;
    for (const std::string& name : names) {
      Case c{golden, name, dtype, {}, {}, {}};
      run_case(c);
      used.merge(c.used);
    }
    for (const std::string& name : golden.names()) CHECK_MESSAGE(used.count(name), name << " was not looked at");
  }
}

}  // namespace

TEST_CASE("ops: every recorded case on the native backend") { run_all(kernels::Backend::native); }
TEST_CASE("ops: every recorded case on the reference backend") { run_all(kernels::Backend::reference); }

TEST_CASE("ops: names without a handler are found") {
  const Golden golden("ops.safetensors");
  for (const std::string name : {"conv3d_k3", "conv_k3_s1_p1", "gelu", "softmax2", "batch_norm_both"}) {
    Case c{golden, name, DType::f32, {}, {}, {}};
    CHECK_MESSAGE(find_handler(c) == nullptr, name);
  }
}

namespace {

// Sets PENUMBRA_GOLDEN while it lives.
class OtherRecordings {
 public:
  explicit OtherRecordings(const std::string& folder) {
    if (const char* before = std::getenv("PENUMBRA_GOLDEN")) before_ = before;
    ::setenv("PENUMBRA_GOLDEN", folder.c_str(), 1);
  }
  ~OtherRecordings() {
    if (before_.empty())
      ::unsetenv("PENUMBRA_GOLDEN");
    else
      ::setenv("PENUMBRA_GOLDEN", before_.c_str(), 1);
  }

 private:
  std::string before_;
};

}  // namespace

TEST_CASE("ops: the recordings kept here have a case for each form of name") {
  const OtherRecordings scope(pen::test::tests_folder() + "/golden");
  const Golden golden("ops.safetensors");
  const std::set<std::string> names = case_names(golden);
  CHECK(names.size() >= 30);
  for (const auto& [form, handler] : handlers())
    CHECK_MESSAGE(std::any_of(names.begin(), names.end(),
                              [&, f = std::regex(form)](const std::string& name) { return std::regex_match(name, f); }),
                  form);
}

TEST_CASE("golden: another folder and its seed are honoured, and what is missing fails") {
  const ScratchFolder folder;
  const OtherRecordings scope(folder.path());
  CHECK(golden_path("ops.safetensors") == folder / "ops.safetensors");
  check_error(ErrorKind::checkpoint, {"ops.safetensors"}, [] { Golden("ops.safetensors"); });

  // A recording made with another seed: softmax of one row, its cotangent by that seed.
  const std::uint64_t seed = 12345678901234567ull;
  const std::vector<float> x{0.5f, -1, 2};
  const Tensor leaf = Tensor::from(x, {1, 3}).to(DType::f64).clone().set_requires_grad(true);
  const Tensor y = ops::softmax(leaf);
  const auto write = [&](std::uint64_t cotangent_seed) {
    leaf.impl()->grad = nullptr;
    backward(y, Tensor::from(fill("ops.softmax.dy", {1, 3}, cotangent_seed), {1, 3}).to(DType::f64),
             {.retain_graph = true, .only = {}});
    const std::vector<float> result = y.to(DType::f32).to_vector<float>();
    const std::vector<float> gradient = leaf.grad().to(DType::f32).to_vector<float>();
    SafetensorsWriter writer;
    writer.metadata("seed", std::to_string(seed));
    writer.add("softmax.x0", "F32", {1, 3}, x.data());
    writer.add("softmax.y", "F32", {1, 3}, result.data());
    writer.add("softmax.dx0", "F32", {1, 3}, gradient.data());
    writer.write(folder / "ops.safetensors");
  };
  write(seed);
  const Golden golden("ops.safetensors");
  CHECK(golden.seed() == seed);
  Case c{golden, "softmax", DType::f32, {}, {}, {}};
  run_case(c);
  CHECK(c.used == std::set<std::string>{"softmax.x0", "softmax.y", "softmax.dx0"});

  // The seed decides: with a cotangent of another seed the recorded gradient would be another.
  const std::vector<double> right = golden.f64("softmax.dx0");
  write(seed + 1);
  CHECK_FALSE(compare_max(Golden("ops.safetensors").f64("softmax.dx0"), right, 1e-2).ok);
}
