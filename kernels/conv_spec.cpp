#include "kernels/conv_spec.h"

#include <bit>
#include <cstdio>

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

double slope_of(const ConvSpec& spec) { return spec.relu ? spec.d.relu_slope : 0; }

std::string act_of(const ConvSpec& spec) {
  std::string act = spec.relu ? " relu" : "";
  if (slope_of(spec) == 0) return act;
  char exact[32];
  std::snprintf(exact, sizeof exact, "%.17g", slope_of(spec));
  return act + exact;
}

}  // namespace

std::string key_of(const ConvSpec& spec) {
  const Conv2d& d = spec.d;
  return str(name_of(spec.kind), ' ', pen::name_of(spec.dtype), ' ', pen::kernels::name_of(spec.math), " n", d.n, " h",
             d.h, " w", d.w, " c", d.c, " k", d.k, " r", d.r, " s", d.s, " p", d.p, " q", d.q, " stride", d.stride,
             " pad", d.pad, " dilation", d.dilation, " groups", d.groups, spec.bias ? " bias" : "",
             spec.residual ? " residual" : "", act_of(spec), spec.marks ? " marks" : "", spec.gate ? " gate" : "",
             spec.deterministic ? " deterministic" : "");
}

ConvSpecKey numbers_of(const ConvSpec& spec) {
  const Conv2d& d = spec.d;
  const std::int64_t flags = (spec.bias ? 1 : 0) | (spec.residual ? 2 : 0) | (spec.relu ? 4 : 0) |
                             (spec.marks ? 8 : 0) | (spec.gate ? 16 : 0) | (spec.deterministic ? 32 : 0);
  const std::int64_t types = static_cast<std::int64_t>(spec.kind) | static_cast<std::int64_t>(spec.dtype) << 8 |
                             static_cast<std::int64_t>(spec.math) << 16;
  return {d.n, d.h,      d.w,   d.c,        d.k,      d.r,   d.s,   d.p,
          d.q, d.stride, d.pad, d.dilation, d.groups, flags, types, std::bit_cast<std::int64_t>(slope_of(spec))};
}

}  // namespace pen::kernels
