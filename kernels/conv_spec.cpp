#include "kernels/conv_spec.h"

namespace pen::kernels {
namespace {

const char* name_of(ConvKind kind) {
  switch (kind) {
    case ConvKind::forward:
      return "forward";
    case ConvKind::data:
      return "data";
    case ConvKind::weight:
      return "weight";
  }
  return "?";
}

}  // namespace

std::string key_of(const ConvSpec& spec) {
  const Conv2d& d = spec.d;
  return str(name_of(spec.kind), ' ', pen::name_of(spec.dtype), ' ', pen::kernels::name_of(spec.math), " n", d.n, " h",
             d.h, " w", d.w, " c", d.c, " k", d.k, " r", d.r, " s", d.s, " p", d.p, " q", d.q, " stride", d.stride,
             " pad", d.pad, " dilation", d.dilation, " groups", d.groups, spec.bias ? " bias" : "",
             spec.residual ? " residual" : "", spec.relu ? " relu" : "", spec.marks ? " marks" : "",
             spec.gate ? " gate" : "", spec.deterministic ? " deterministic" : "");
}

ConvSpecKey numbers_of(const ConvSpec& spec) {
  const Conv2d& d = spec.d;
  const std::int64_t flags = (spec.bias ? 1 : 0) | (spec.residual ? 2 : 0) | (spec.relu ? 4 : 0) |
                             (spec.marks ? 8 : 0) | (spec.gate ? 16 : 0) | (spec.deterministic ? 32 : 0);
  const std::int64_t types = static_cast<std::int64_t>(spec.kind) | static_cast<std::int64_t>(spec.dtype) << 8 |
                             static_cast<std::int64_t>(spec.math) << 16;
  return {d.n, d.h, d.w, d.c, d.k, d.r, d.s, d.p, d.q, d.stride, d.pad, d.dilation, d.groups, flags, types};
}

}  // namespace pen::kernels
