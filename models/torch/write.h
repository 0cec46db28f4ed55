// Files that PyTorch reads: values to a pickle of protocol 2, storages beside it, in a zip archive or the older format.
#pragma once

#include <functional>

#include "models/torch/file.h"

namespace pen::torch {

// Writes the value as torch.save would: complete or not at all (AtomicFile). Tensors keep their type, strides and
// shared storages. Storages that lie in a file are read through `from`; null if all are in memory.
// An opaque object is written as the dictionary of its attributes, anything else that has no plain form as a text.
// Nested deeper than 200, or format tar: an Error of kind run.
void write_file(const std::string& path, const Value& root, Format format, const File* from = nullptr);

// Makes values: a small vocabulary for writers.
class Builder {
 public:
  explicit Builder(Values& values) : values_(values) {}
  Value* none() { return values_.none(); }
  Value* boolean(bool b) { return values_.boolean(b); }
  Value* integer(std::int64_t n);
  Value* real(double x);
  Value* text(std::string s);
  Value* list() { return make(Kind::list); }
  Value* tuple() { return make(Kind::tuple); }
  Value* dict(bool ordered = false);
  // Elements that `owner` keeps alive, row-major.
  Value* tensor(Scalar type, std::vector<std::int64_t> shape, const void* elements, std::shared_ptr<void> owner);
  void add(Value* list, Value* item) {
    PEN_CHECK(values_.push(list->items, item), "a checkpoint too large to describe");
  }
  void set(Value* dict, const std::string& key, Value* value) {
    add(dict, text(key));
    add(dict, value);
  }

 private:
  Value* make(Kind kind);
  Values& values_;
};

}  // namespace pen::torch
