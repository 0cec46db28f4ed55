#include "models/torch/scalar.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace pen::torch {
namespace {

struct Row {
  Scalar type;
  std::size_t size;
  const char *torch, *alias, *storage, *safetensors, *numpy;
};
constexpr Row rows[] = {
    {Scalar::f64, 8, "float64", "double", "DoubleStorage", "F64", "f8"},
    {Scalar::f32, 4, "float32", "float", "FloatStorage", "F32", "f4"},
    {Scalar::f16, 2, "float16", "half", "HalfStorage", "F16", "f2"},
    {Scalar::bf16, 2, "bfloat16", "bfloat16", "BFloat16Storage", "BF16", "bf16"},
    {Scalar::i64, 8, "int64", "long", "LongStorage", "I64", "i8"},
    {Scalar::i32, 4, "int32", "int", "IntStorage", "I32", "i4"},
    {Scalar::i16, 2, "int16", "short", "ShortStorage", "I16", "i2"},
    {Scalar::i8, 1, "int8", "char", "CharStorage", "I8", "i1"},
    {Scalar::u8, 1, "uint8", "byte", "ByteStorage", "U8", "u1"},
    {Scalar::boolean, 1, "bool", "bool", "BoolStorage", "BOOL", "b1"},
};

const Row& row(Scalar type) { return rows[static_cast<std::size_t>(type)]; }

template <class Match>
std::optional<Scalar> search(const Match& match) {
  for (const Row& r : rows)
    if (match(r)) return r.type;
  return std::nullopt;
}

template <class T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float bfloat_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// out[i] = convert(element i of `from`), elements of type From.
template <class From, class To, class Convert>
void each(const void* from, std::size_t n, void* to, const Convert& convert) {
  const auto* in = static_cast<const std::uint8_t*>(from);
  auto* out = static_cast<To*>(to);
  for (std::size_t i = 0; i < n; ++i) out[i] = convert(load<From>(in + i * sizeof(From)));
}

}  // namespace

std::size_t size_of(Scalar type) { return row(type).size; }
const char* torch_name(Scalar type) { return row(type).torch; }
const char* storage_name(Scalar type) { return row(type).storage; }
const char* safetensors_name(Scalar type) { return row(type).safetensors; }

std::optional<Scalar> scalar_of_torch(std::string_view name) {
  return search([&](const Row& r) { return name == r.torch || name == r.alias; });
}
std::optional<Scalar> scalar_of_storage(std::string_view name) {
  return search([&](const Row& r) { return name == r.storage; });
}
std::optional<Scalar> scalar_of_safetensors(std::string_view name) {
  return search([&](const Row& r) { return name == r.safetensors; });
}
std::optional<Scalar> scalar_of_numpy(std::string_view name) {
  return search([&](const Row& r) { return name == r.numpy; });
}

DType memory_type(Scalar type) {
  switch (type) {
    case Scalar::f64:
      return DType::f64;
    case Scalar::f32:
    case Scalar::f16:
    case Scalar::bf16:
      return DType::f32;
    case Scalar::i64:
      return DType::i64;
    case Scalar::i32:
    case Scalar::i16:
    case Scalar::i8:
      return DType::i32;
    default:
      return DType::u8;
  }
}

Scalar stored_type(DType type) {
  switch (type) {
    case DType::f64:
      return Scalar::f64;
    case DType::f32:
      return Scalar::f32;
    case DType::f16:
      return Scalar::f16;
    case DType::bf16:
      return Scalar::bf16;
    case DType::i64:
      return Scalar::i64;
    case DType::i32:
      return Scalar::i32;
    default:
      return Scalar::u8;
  }
}

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  std::uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    if (fraction == 0) return std::bit_cast<float>(sign);
    // A subnormal half is a normal float: fraction * 2^-24.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

void widen(Scalar type, const void* from, std::size_t n, void* to) {
  switch (type) {
    case Scalar::f16:
      return each<std::uint16_t, float>(from, n, to, half_to_float);
    case Scalar::bf16:
      return each<std::uint16_t, float>(from, n, to, bfloat_to_float);
    case Scalar::i16:
      return each<std::int16_t, std::int32_t>(from, n, to, [](std::int16_t v) { return v; });
    case Scalar::i8:
      return each<std::int8_t, std::int32_t>(from, n, to, [](std::int8_t v) { return v; });
    case Scalar::boolean:
      return each<std::uint8_t, std::uint8_t>(from, n, to, [](std::uint8_t v) { return v != 0; });
    default:
      if (n > 0) std::memcpy(to, from, n * size_of(type));
  }
}

double value_of(Scalar type, const void* element) {
  switch (type) {
    case Scalar::f64:
      return load<double>(element);
    case Scalar::f32:
      return load<float>(element);
    case Scalar::f16:
      return half_to_float(load<std::uint16_t>(element));
    case Scalar::bf16:
      return bfloat_to_float(load<std::uint16_t>(element));
    case Scalar::i64:
      return static_cast<double>(load<std::int64_t>(element));
    case Scalar::i32:
      return load<std::int32_t>(element);
    case Scalar::i16:
      return load<std::int16_t>(element);
    case Scalar::i8:
      return load<std::int8_t>(element);
    default:
      return load<std::uint8_t>(element);
  }
}

}  // namespace pen::torch
