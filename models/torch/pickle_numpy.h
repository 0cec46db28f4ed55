// NumPy's scalars and arrays in pickles: losses and metrics that training scripts store beside weights.
#pragma once

#include "models/torch/pickle_objects.h"

namespace pen::torch {

// A text or byte string as bytes; with `latin1` texts are Latin-1, as _codecs.encode means them.
std::string bytes_of(const Site& site, const Value* v, bool latin1);
// dtype('f8', False, True): an object whose text is "f8"; its BUILD checks the byte order.
Value* numpy_dtype(const Site& site, const Value& arguments);
// scalar(dtype, bytes): a number.
Value* numpy_scalar(const Site& site, const Value& arguments);
// BUILD of an ndarray, (1, shape, dtype, fortran order, bytes): makes it a tensor.
void fill_array(const Site& site, Value& array, const Value& state);
// Shared with pickle_objects.cpp.
std::int64_t integer_of(const Site& site, const Value* v, const char* what);
const Value& sequence(const Site& site, const Value* v, const char* what);

}  // namespace pen::torch
