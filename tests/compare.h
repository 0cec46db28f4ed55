// The comparator. NaN never passes, sizes must match and not be empty, an all-zero reference fails unless the case says
// that it is meant, and the worst element is reported.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace pen::test {

enum class Zeros { refused, expected };

struct Difference {
  bool ok = false;
  double error = 0;     // the figure that was held against the tolerance
  std::string message;  // what was compared, the error, the worst element
};

// max |got - want| <= tolerance * max |want|
Difference compare_max(std::span<const double> got, std::span<const double> want, double tolerance,
                       Zeros zeros = Zeros::refused);
// ||got - want||_2 <= tolerance * ||want||_2
Difference compare_l2(std::span<const double> got, std::span<const double> want, double tolerance,
                      Zeros zeros = Zeros::refused);
// ||got - want||_2 / ||want||_2
double relative_l2(std::span<const double> got, std::span<const double> want);

template <class T>
std::vector<double> to_double(const T& values) {
  return {values.begin(), values.end()};
}

}  // namespace pen::test
