// Batches on their way to a device.
#include <doctest/doctest.h>

#include <deque>

#include "kernels/kernels.h"
#include "tensor/upload.h"
#include "tests/skip.h"

using namespace pen;

namespace {

std::vector<float> batch(int i, std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t k = 0; k < n; ++k) values[k] = static_cast<float>(i) * 1000 + static_cast<float>(k);
  return values;
}

// Many batches, of sizes that change, each read by queued work only after the caller has written over its values, and,
// where two are in use at a time, after the next one has gone up.
void check_uploads(Device device, std::size_t in_use) {
  Uploader uploader(device, in_use);
  std::vector<float> values;
  std::deque<Tensor> used;
  Tensor sum = Tensor::zeros({4096}, DType::f32, device), kept;
  std::vector<double> want(4096);
  for (int i = 0; i < 20; ++i) {
    const std::int64_t rows = i % 7 == 3 ? 2 : 4;
    const std::vector<float> sent = batch(i, static_cast<std::size_t>(rows) * 4096);
    values = sent;
    const Tensor t = uploader.upload(values.data(), values.size(), {rows, 4096}, DType::f32);
    std::fill(values.begin(), values.end(), -1.0f);
    REQUIRE(t.shape() == Shape{rows, 4096});
    used.push_back(t);
    for (; used.size() >= in_use || (i == 19 && !used.empty()); used.pop_front()) {
      float* to = sum.mutable_data<float>();
      for (std::int64_t r = 0; r < used.front().size(0); ++r)
        kernels::add_scaled(context(device), 4096, 1.0, to, 1.0, used.front().data<float>() + r * 4096, to);
    }
    for (std::size_t k = 0; k < want.size(); ++k)
      for (std::int64_t r = 0; r < rows; ++r)
        want[k] += static_cast<double>(sent[static_cast<std::size_t>(r) * 4096 + k]);
    if (i == 5) kept = t;  // against the rule: it must keep its values all the same
  }
  const std::vector<float> got = sum.to_vector<float>();
  double worst = 0;
  for (std::size_t k = 0; k < want.size(); ++k)
    worst = std::max(worst, std::abs(static_cast<double>(got[k]) - want[k]) / want[k]);
  CHECK(worst < 1e-5);
  CHECK(kept.to_vector<float>() == batch(5, 4 * 4096));
}

}  // namespace

TEST_CASE("upload: values arrive, whatever becomes of the caller's memory") {
  for (const std::size_t in_use : {1, 2}) check_uploads({}, in_use);
}

TEST_CASE("upload: on a GPU, on a stream of its own, without new memory in a steady state") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  const Device gpu{Device::Kind::cuda, 0};
  for (const std::size_t in_use : {1, 2}) check_uploads(gpu, in_use);
  Uploader uploader(gpu);
  const std::vector<float> values = batch(1, 1000);
  for (int i = 0; i < 2; ++i) uploader.upload(values.data(), values.size(), {1000}, DType::f32);
  const auto before = memory_stats(gpu).system_allocations;
  for (int i = 0; i < 10; ++i) uploader.upload(values.data(), values.size(), {1000}, DType::f32);
  CHECK(memory_stats(gpu).system_allocations == before);
}

TEST_CASE("upload: a count that does not fill the shape is an error") {
  Uploader uploader(Device{});
  const std::vector<float> values(5);
  CHECK_THROWS_AS(uploader.upload(values.data(), values.size(), {2, 3}, DType::f32), Error);
}
