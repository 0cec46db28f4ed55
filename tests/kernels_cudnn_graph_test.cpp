// Graphs and engines of cuDNN for a GPU that is only described: cuDNN itself checks the descriptors, its heuristics
// choose, and plans are built and read back. Needs a build with CUDA, no GPU.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/engine_count.h"
#include "kernels/shared/fold.inl"
#include "tests/cases.h"
#include "tests/skip.h"

using namespace pen;
using namespace pen::kernels;
using namespace pen::test;

namespace {

// An H100 in cuDNN's words.
const char* const h100 =
    R"({"deviceName": "NVIDIA H100 80GB HBM3", "cudaDeviceId": 0, "deviceVer": 900, "driverVer": 13000,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536,
  "multiProcessorCount": 132, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "l2CacheSize": 52428800,
  "warpSize": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "pciDeviceId": 0, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "isTccDriver": 0, "supportCoopLaunch": 1,
  "totalGlobalMem": 85000000000, "smVersion": 900})";

ConvSpec spec_of(const Conv2d& d, ConvKind kind, DType dtype, Math math) {
  ConvSpec spec;
  spec.d = d;
  spec.kind = kind;
  spec.dtype = dtype;
  spec.math = math;
  return spec;
}

// Layers of ResNet-50 at 224 pixels, batch 72 twice.
std::vector<NamedConv> layers() {
  std::vector<NamedConv> all{
      {"stem",
       {.n = 144, .h = 224, .w = 224, .c = 3, .k = 64, .r = 7, .s = 7, .p = 112, .q = 112, .stride = 2, .pad = 3}},
      {"1x1", {.n = 144, .h = 56, .w = 56, .c = 64, .k = 256, .r = 1, .s = 1, .p = 56, .q = 56}},
      {"3x3", {.n = 144, .h = 28, .w = 28, .c = 128, .k = 128, .r = 3, .s = 3, .p = 28, .q = 28, .pad = 1}},
      {"3x3 stride 2",
       {.n = 144, .h = 28, .w = 28, .c = 256, .k = 256, .r = 3, .s = 3, .p = 14, .q = 14, .stride = 2, .pad = 1}},
      {"1x1 stride 2",
       {.n = 144, .h = 14, .w = 14, .c = 1024, .k = 2048, .r = 1, .s = 1, .p = 7, .q = 7, .stride = 2}}};
  return all;
}

// Every convolution of ResNet-50 (He et al. 2015, stride at the 3x3) at 224 pixels and batch 144, as its frozen form
// asks for it: a way forward with bias, and a way back that adds to what another branch left.
struct FrozenLayer {
  Conv2d d;
  bool relu = true, residual = false, adds_back = false;
};
std::vector<FrozenLayer> resnet50() {
  const auto conv = [](std::int64_t side, std::int64_t c, std::int64_t k, int kernel, int stride) {
    const std::int64_t out = side / stride;
    return Conv2d{.n = 144,
                  .h = side,
                  .w = side,
                  .c = c,
                  .k = k,
                  .r = kernel,
                  .s = kernel,
                  .p = out,
                  .q = out,
                  .stride = stride,
                  .pad = kernel / 2};
  };
  std::vector<FrozenLayer> all{{.d = conv(224, 3, 64, 7, 2)}};
  std::int64_t side = 56, in = 64;
  for (const std::int64_t width : {64, 128, 256, 512}) {
    const int stride = width == 64 ? 1 : 2;
    all.push_back({.d = conv(side, in, width, 1, 1), .adds_back = true});
    all.push_back({.d = conv(side, width, width, 3, stride)});
    all.push_back({.d = conv(side, in, 4 * width, 1, stride), .relu = false});  // the projection
    side /= stride, in = 4 * width;
    all.push_back({.d = conv(side, width, in, 1, 1), .residual = true});
    // The blocks behind the first.
    all.push_back({.d = conv(side, in, width, 1, 1), .adds_back = true});
    if (stride == 2) all.push_back({.d = conv(side, width, width, 3, 1)});
  }
  return all;
}

// Whether cuDNN can load the driver's library, by the name that it asks for, and so judges graphs for engines that
// compile at run time. The toolkit's stub is loaded where there is no driver; plans of such engines cannot be built
// with it.
bool runtime_engines() {
  static const bool loaded = [] {
#ifdef PENUMBRA_CUDA_STUB
    if (!::dlopen("libcuda.so.1", RTLD_NOW)) ::dlopen(PENUMBRA_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
#endif
    return ::dlopen("libcuda.so.1", RTLD_NOW) != nullptr;
  }();
  return loaded;
}

struct Precision {
  const char* name;
  DType dtype;
  Math math;
};
const Precision precisions[] = {{"fp32", DType::f32, Math::fp32},
                                {"tf32", DType::f32, Math::tf32},
                                {"bf16", DType::bf16, Math::fp32},
                                {"fp16", DType::f16, Math::fp32}};

}  // namespace

TEST_CASE("cudnn: every layer of ResNet-50 has deterministic engines in every precision and direction") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (const NamedConv& layer : layers())
    for (const Precision& p : precisions)
      for (const ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weight}) {
        const ConvSpec spec = spec_of(layer.d, kind, p.dtype, p.math);
        CAPTURE(key_of(spec));
        CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
      }
}

TEST_CASE("cudnn: a forward layer with bias, residual and ReLU is one graph that has engines") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (const NamedConv& layer : layers())
    for (const Precision& p : precisions) {
      ConvSpec spec = spec_of(layer.d, ConvKind::forward, p.dtype, p.math);
      spec.bias = spec.residual = spec.relu = true;
      CAPTURE(key_of(spec));
      CHECK(kernels::cuda::count_engines(spec, true, h100, 0).offered > 0);
    }
}

TEST_CASE("cudnn: a frozen ResNet-50 finds engines for all that it asks for in 16 bit") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  REQUIRE(resnet50().size() == 24);
  for (const FrozenLayer& layer : resnet50())
    for (const DType dtype : {DType::bf16, DType::f16}) {
      ConvSpec forward = spec_of(layer.d, ConvKind::forward, dtype, Math::fp32);
      forward.bias = true, forward.relu = layer.relu, forward.residual = layer.residual, forward.marks = layer.relu;
      CAPTURE(key_of(forward));
      if (layer.relu || runtime_engines()) CHECK(kernels::cuda::count_engines(forward, true, h100, 0).offered > 0);
      CHECK(kernels::cuda::count_engines(forward, false, h100, 0).offered > 0);
      ConvSpec data = spec_of(layer.d, ConvKind::data, dtype, Math::fp32);
      data.gate = true, data.residual = layer.adds_back;
      CAPTURE(key_of(data));
      CHECK(kernels::cuda::count_engines(data, false, h100, 0).offered > 0);
    }
}

// As CA asks for them, one masked side after the other. (From 16 bit to a result in float32 there is none.)
TEST_CASE("cudnn: every gradient of ResNet-50's weights has engines in 16 bit") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (FrozenLayer layer : resnet50())
    for (const std::int64_t images : {8, 72})
      for (const DType dtype : {DType::bf16, DType::f16}) {
        layer.d.n = images;
        const ConvSpec spec = spec_of(layer.d, ConvKind::weight, dtype, Math::fp32);
        CAPTURE(key_of(spec));
        CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
      }
}

TEST_CASE("cudnn: a frozen ResNet-50's data gradients that add have fused engines in 16 bit") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  if (!runtime_engines()) PEN_SKIP("needs the driver's library or the CUDA toolkit's stub of it");
  for (const FrozenLayer& layer : resnet50())
    for (const DType dtype : {DType::bf16, DType::f16}) {
      if (!layer.adds_back) continue;
      ConvSpec data = spec_of(layer.d, ConvKind::data, dtype, Math::fp32);
      data.gate = true, data.residual = true;
      CAPTURE(key_of(data));
      CHECK(kernels::cuda::count_engines(data, true, h100, 0).offered > 0);
    }
}

TEST_CASE("cudnn: every convolution of the parity cases has engines in 16 bit, in every direction") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (const NamedConv& c : convolutions()) {
    if (c.d.n == 0) continue;  // never asked for
    for (const DType dtype : {DType::bf16, DType::f16})
      for (const ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weight}) {
        const ConvSpec spec = spec_of(c.d, kind, dtype, Math::fp32);
        CAPTURE(key_of(spec));
        CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
      }
  }
}

// What a GPU asks for in 16 bit in place of the stem (kernels/shared/fold.inl): 144 masked images, and 216 with the
// next batch's clean ones.
TEST_CASE("cudnn: the folded stem of ResNet-50 has engines in 16 bit, in every direction") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  Conv2d stem = resnet50().front().d;
  REQUIRE(shared::folds(stem));
  for (const std::int64_t images : {72, 144, 216})
    for (const DType dtype : {DType::bf16, DType::f16}) {
      stem.n = images;
      const Conv2d d = shared::folded(stem);
      ConvSpec forward = spec_of(d, ConvKind::forward, dtype, Math::fp32);
      forward.bias = forward.relu = forward.marks = true;
      CAPTURE(key_of(forward));
      for (const bool fused : {true, false}) CHECK(kernels::cuda::count_engines(forward, fused, h100, 0).offered > 0);
      for (const ConvKind kind : {ConvKind::data, ConvKind::weight}) {
        const ConvSpec spec = spec_of(d, kind, dtype, Math::fp32);
        CAPTURE(key_of(spec));
        CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
      }
    }
}

TEST_CASE("cudnn: every convolution of the parity cases that is folded in 16 bit has engines as it is folded") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  int folded = 0;
  for (const NamedConv& c : convolutions()) {
    if (c.d.n == 0 || !shared::folds(c.d)) continue;
    ++folded;
    for (const DType dtype : {DType::bf16, DType::f16})
      for (const ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weight}) {
        const ConvSpec spec = spec_of(shared::folded(c.d), kind, dtype, Math::fp32);
        CAPTURE(key_of(spec));
        CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
      }
  }
  CHECK(folded == 5);
}

// MobileNet's layers. Only engines that compile at run time know a leaky ReLU; there is none for depthwise ones in
// bf16.
TEST_CASE("cudnn: 1x1 and depthwise convolutions have engines, 1x1 with a leaky ReLU too") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  Conv2d pointwise{.n = 144, .h = 28, .w = 28, .c = 128, .k = 256, .r = 1, .s = 1, .p = 28, .q = 28};
  Conv2d depthwise{.n = 144, .h = 28, .w = 28, .c = 256, .k = 256, .r = 3, .s = 3, .p = 28, .q = 28};
  depthwise.pad = 1, depthwise.groups = 256;
  for (const Conv2d& d : {pointwise, depthwise})
    for (const Precision& p : precisions) {
      for (const ConvKind kind : {ConvKind::forward, ConvKind::data})
        CHECK(kernels::cuda::count_engines(spec_of(d, kind, p.dtype, p.math), false, h100, 0).offered > 0);
      ConvSpec spec = spec_of(d, ConvKind::forward, p.dtype, p.math);
      spec.bias = spec.relu = true;
      CAPTURE(key_of(spec));
      CHECK(kernels::cuda::count_engines(spec, true, h100, 0).offered > 0);
      spec.d.relu_slope = 0.1;
      if (d.groups == 1 && runtime_engines()) CHECK(kernels::cuda::count_engines(spec, true, h100, 0).offered > 0);
    }
}

TEST_CASE("cudnn: every float convolution of the parity cases has engines that are neither TF32 nor nondeterministic") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (const NamedConv& c : convolutions()) {
    if (c.d.n == 0) continue;  // never asked for
    for (const ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weight}) {
      const ConvSpec spec = spec_of(c.d, kind, DType::f32, Math::fp32);
      CAPTURE(key_of(spec));
      CHECK(kernels::cuda::count_engines(spec, false, h100, 0).offered > 0);
    }
  }
}

// Engines that compile at run time need the driver and build no plan here: some of the first ones do.
TEST_CASE("cudnn: plans are built and read back from their text") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  for (const Precision& p : precisions)
    for (const ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weight}) {
      const ConvSpec spec = spec_of(layers()[2].d, kind, p.dtype, p.math);
      CAPTURE(key_of(spec));
      const auto count = kernels::cuda::count_engines(spec, false, h100, 4);
      CHECK(count.built > 0);
      CHECK(count.read_back == count.built);
      CHECK(count.text_bytes > 0);
    }
}

TEST_CASE("cudnn: TF32 and nondeterministic engines are more, and kept apart") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  const Conv2d d = layers()[2].d;
  const auto offered = [&](Math math, bool deterministic) {
    ConvSpec spec = spec_of(d, ConvKind::weight, DType::f32, math);
    spec.deterministic = deterministic;
    return kernels::cuda::count_engines(spec, false, h100, 0).offered;
  };
  CHECK(offered(Math::fp32, true) < offered(Math::tf32, true));
  CHECK(offered(Math::fp32, true) < offered(Math::fp32, false));
}

TEST_CASE("cudnn: a GPU that is described wrongly is an error in cuDNN's words") {
  if (!kernels::cuda::built()) PEN_SKIP("needs a build with CUDA");
  const ConvSpec spec = spec_of(layers()[1].d, ConvKind::forward, DType::f32, Math::fp32);
  try {
    kernels::cuda::count_engines(spec, false, "{}", 0);
    FAIL_CHECK("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::device);
    CHECK(std::string(error.what()).find("CUDNN_STATUS_BAD_PARAM") != std::string::npos);
    CHECK(std::string(error.what()).find("kernels/cuda/cudnn_descriptor.cpp") != std::string::npos);
  }
}
