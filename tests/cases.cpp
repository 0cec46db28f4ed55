#include "tests/cases.h"

#include "base/check.h"

namespace pen::test {

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = [] {
    Registry r;
    add_library_cases(r);
    add_pointwise_cases(r);
    add_norm_cases(r);
    add_frozen_cases(r);
    add_rows_cases(r);
    add_image_cases(r);
    add_layout_cases(r);
    add_pixel_cases(r);
    return std::move(r.cases);
  }();
  return cases;
}

bool is_library(const std::string& kernel) {
  std::size_t count = 0;
  const kernels::KernelInfo* list = kernels::kernel_list(count);
  for (std::size_t i = 0; i < count; ++i)
    if (kernel == list[i].name) return std::string(list[i].kind) == "library";
  fail(ErrorKind::run, kernel + " is not in the list of kernels");
}

}  // namespace pen::test
