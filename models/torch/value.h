// What a pickle says, as inert data: nothing in it has behaviour. Nodes belong to one arena, are shared by pointer
// (a file of a few bytes can describe a structure of 2^30 paths) and are destroyed without recursion.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "models/torch/bytes.h"
#include "models/torch/scalar.h"

namespace pen::torch {

// Elements of one or several tensors: a range of the file, or bytes in memory.
struct Storage {
  std::string key;
  Scalar type = Scalar::u8;
  std::uint64_t bytes = 0;
  bool placed = false;                   // whether `at` or `memory` is known
  bool swapped = false;                  // big-endian elements
  std::uint64_t at = 0;                  // offset in the file
  std::string entry;                     // for messages
  const std::uint8_t* memory = nullptr;  // instead of the file
  std::shared_ptr<void> owner;           // of `memory`
};

// A strided view of a storage, checked to lie inside it. Units: elements.
struct TensorInfo {
  Scalar type = Scalar::f32;
  std::vector<std::int64_t> shape, stride;
  std::int64_t offset = 0;
  std::shared_ptr<Storage> storage;
  std::uint64_t numel() const;  // checked when it was made
  std::uint64_t bytes() const { return numel() * size_of(type); }
  bool contiguous() const;
};

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  big_integer,  // text: its decimal digits
  real,
  text,   // UTF-8
  bytes,  // text: the bytes
  list,
  tuple,
  dict,  // items: key, value, key, value, ...; ordered: an OrderedDict
  set,
  global,  // a name of Python's, text: "module.name"; never looked up
  storage,
  tensor,
  object,  // an instance of a class that means nothing here: type, items (arguments) and state
};
const char* name_of(Kind kind);

struct Value {
  Kind kind = Kind::none;
  bool ordered = false;
  std::int64_t integer = 0;  // boolean too
  double real = 0;
  std::string text;
  std::vector<Value*> items;
  Value* type = nullptr;
  Value* state = nullptr;
  std::shared_ptr<Storage> storage;
  std::shared_ptr<TensorInfo> tensor;  // null: a Parameter or array that BUILD has yet to fill

  // The value under a text key of a dict; the last one if there are several, null if there is none.
  const Value* find(std::string_view key) const;
  bool is(Kind k) const { return kind == k; }
};

// The arena. Making a node charges the budget; false or null is for the caller to refuse.
class Values {
 public:
  explicit Values(std::uint64_t cap);
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  Budget budget;
  // Classes that are met as opaque objects, and other things worth a warning; each once, at most 16.
  std::vector<std::string> warnings;

  Value* make(Kind kind);  // null when the budget is spent
  Value* none() { return &none_; }
  Value* boolean(bool b) { return b ? &true_ : &false_; }
  // Appends to a vector that is charged by its capacity; false when the budget is spent.
  template <class T>
  bool push(std::vector<T>& to, T value) {
    if (to.size() == to.capacity()) {
      const std::size_t grown = to.capacity() < 4 ? 4 : 2 * to.capacity();
      if (!budget.charge(grown * sizeof(T))) return false;
      to.reserve(grown);
    }
    to.push_back(std::move(value));
    return true;
  }
  void warn(const std::string& what);
  std::size_t size() const { return nodes_.size(); }

 private:
  std::deque<Value> nodes_;
  Value none_, true_, false_;
};

// Text of a leaf ("3", "0.5", "'relu'") or a short description of anything else ("dict of 4").
std::string describe(const Value& value);

}  // namespace pen::torch
