#include "eval/box.h"

#include <algorithm>

#include "base/check.h"

namespace pen::eval {

Protocol parse_protocol(std::string_view name) {
  if (name == "paper") return Protocol::paper;
  if (name == "strict") return Protocol::strict;
  fail(ErrorKind::usage, str("unknown protocol '", name, "'"), "use paper or strict");
}

std::string_view protocol_name(Protocol protocol) { return protocol == Protocol::paper ? "paper" : "strict"; }

std::int64_t area(const Box& box) {
  return box.xmax > box.xmin && box.ymax > box.ymin ? (box.xmax - box.xmin) * (box.ymax - box.ymin) : 0;
}

Box clipped(const Box& box, std::int64_t size) {
  const auto cut = [size](std::int64_t v) { return std::clamp(v, std::int64_t{0}, size); };
  return {cut(box.xmin), cut(box.ymin), cut(box.xmax), cut(box.ymax)};
}

std::int64_t intersection(const Box& a, const Box& b) {
  return area({std::max(a.xmin, b.xmin), std::max(a.ymin, b.ymin), std::min(a.xmax, b.xmax), std::min(a.ymax, b.ymax)});
}

std::vector<float> box_mask(const Box& box, std::int64_t size) {
  std::vector<float> mask(static_cast<std::size_t>(size * size), 0.0f);
  const Box inside = clipped(box, size);
  if (area(inside) == 0) return mask;
  for (std::int64_t y = inside.ymin; y < inside.ymax; ++y) {
    std::fill(mask.begin() + y * size + inside.xmin, mask.begin() + y * size + inside.xmax, 1.0f);
  }
  return mask;
}

}  // namespace pen::eval
