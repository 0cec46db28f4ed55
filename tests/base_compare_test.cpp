// The comparator and the golden rule are tested first: everything else leans on them.
#include <doctest/doctest.h>

#include <limits>

#include "tests/compare.h"
#include "tests/golden.h"

using namespace pen::test;

TEST_CASE("compare: passes only what is close") {
  const std::vector<double> want{1, -2, 4}, near{1, -2, 4.0001}, far{1, -2, 5};
  CHECK(compare_max(near, want, 1e-4).ok);
  CHECK_FALSE(compare_max(far, want, 1e-4).ok);
  CHECK(compare_l2(near, want, 1e-4).ok);
  CHECK_FALSE(compare_l2(far, want, 1e-4).ok);
  CHECK(compare_max(far, want, 1e-4).message.find("worst at 2") != std::string::npos);
}

TEST_CASE("compare: NaN, empty, mismatched and all-zero never pass") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> want{1, 2}, nan_first{nan, 2}, nan_last{1, nan}, zero{0, 0}, one{1}, none;
  for (const auto& got : {nan_first, nan_last, one, none}) {
    CHECK_FALSE(compare_max(got, want, 1e9).ok);
    CHECK_FALSE(compare_l2(got, want, 1e9).ok);
  }
  CHECK_FALSE(compare_max(none, none, 1).ok);
  CHECK_FALSE(compare_max(zero, zero, 1).ok);
  CHECK_FALSE(compare_l2(zero, zero, 1).ok);
  CHECK(compare_max(zero, zero, 1, Zeros::expected).ok);
}

TEST_CASE("fill: the check values of the rule") {
  const auto v = fill("check", {4});
  CHECK(v[0] == 0.04737353324890137f);
  CHECK(v[1] == 0.9780476093292236f);
  CHECK(v[2] == 0.7419732809066772f);
  CHECK(v[3] == 0.9607653617858887f);
  CHECK(fill("check", {4}, 1)[0] != v[0]);
}
