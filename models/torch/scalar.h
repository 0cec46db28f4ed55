// Element types of stored tensors, under the names that PyTorch, its storage classes and safetensors give them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/types.h"

namespace pen::torch {

enum class Scalar : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::size_t size_of(Scalar type);                                    // bytes of one element
const char* torch_name(Scalar type);                                 // "float32"
const char* storage_name(Scalar type);                               // "FloatStorage"
const char* safetensors_name(Scalar type);                           // "F32"
std::optional<Scalar> scalar_of_torch(std::string_view name);        // also "float", "half", "long", ...
std::optional<Scalar> scalar_of_storage(std::string_view name);      // "FloatStorage"
std::optional<Scalar> scalar_of_safetensors(std::string_view name);  // "F32"
std::optional<Scalar> scalar_of_numpy(std::string_view name);        // "f4"

// What tensors of that type become in memory: float16 and bfloat16 become float32, int16 and int8 int32, bool u8, all
// without loss; the others stay.
DType memory_type(Scalar type);
Scalar stored_type(DType type);  // the other way
// Converts n elements from `from` (unaligned, little-endian, of `type`) to memory_type(type).
void widen(Scalar type, const void* from, std::size_t n, void* to);
// Value of one element.
double value_of(Scalar type, const void* element);
// IEEE binary16 to float, exact.
float half_to_float(std::uint16_t half);

}  // namespace pen::torch
