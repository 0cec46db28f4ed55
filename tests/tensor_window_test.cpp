// Windows: part of a tensor as a tensor, in the same memory.
#include <doctest/doctest.h>

#include <utility>

#include "kernels/kernels.h"
#include "tensor/autograd.h"
#include "tensor/tensor.h"

using namespace pen;

namespace {

Tensor counted(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(numel_of(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return Tensor::from(values, std::move(shape));
}

}  // namespace

TEST_CASE("a window shows slices of the whole, and writing through it changes the whole") {
  Tensor whole = counted({4, 3});
  Tensor part = whole.window(1, 2);
  CHECK(part.shape() == Shape{2, 3});
  CHECK(part.to_vector<float>() == std::vector<float>{3, 4, 5, 6, 7, 8});
  part.mutable_data<float>()[0] = -1;
  CHECK(whole.to_vector<float>()[3] == -1);
  Tensor inner = part.window(1, 1);
  CHECK(inner.to_vector<float>() == std::vector<float>{6, 7, 8});
  inner.mutable_data<float>()[2] = -2;
  CHECK(whole.to_vector<float>()[8] == -2);
  CHECK(whole.window(4, 0).shape() == Shape{0, 3});
  CHECK(whole.window(0, 4).to_vector<float>() == whole.to_vector<float>());
}

TEST_CASE("a window outlives its whole, and neither counts as unique while both live") {
  Tensor whole = counted({4, 2});
  CHECK(whole.unique());
  Tensor part = whole.window(2, 2);
  CHECK_FALSE(whole.unique());
  CHECK_FALSE(part.unique());
  whole = {};
  CHECK_FALSE(part.unique());  // nobody may write over what was lent
  CHECK(part.to_vector<float>() == std::vector<float>{4, 5, 6, 7});
  Tensor again = counted({4, 2});
  again.window(0, 1);
  CHECK(again.unique());
}

TEST_CASE("a modification through a window is one of the whole and of its other windows") {
  Tensor whole = counted({4, 2});
  const Saved saved(whole), other(whole.window(3, 1));
  const std::uint64_t before = whole.version();
  Tensor part = whole.window(0, 1);
  CHECK(whole.version() == before);
  part.mutable_data<float>()[0] = 9;
  CHECK(whole.version() > before);
  CHECK(part.version() == whole.version());
  CHECK_THROWS_AS(saved.get("a test"), Error);
  CHECK_THROWS_AS(other.get("a test"), Error);
}

TEST_CASE("a window lies inside, of something that has slices, and has no history") {
  Tensor whole = counted({4, 2});
  for (const auto& [begin, count] : {std::pair{-1, 2}, {3, 2}, {5, 0}, {0, -1}})
    CHECK_THROWS_WITH_AS(whole.window(begin, count), doctest::Contains("has no slices"), Error);
  CHECK_THROWS_WITH_AS(counted({}).window(0, 1), doctest::Contains("has no slices"), Error);
  whole.set_requires_grad(true);
  CHECK_FALSE(whole.window(0, 2).requires_grad());
}
