#include "models/torch/value.h"

#include <algorithm>
#include <charconv>

namespace pen::torch {

std::uint64_t TensorInfo::numel() const {
  std::uint64_t n = 1;
  for (const std::int64_t d : shape) n *= static_cast<std::uint64_t>(d);
  return n;
}

bool TensorInfo::contiguous() const {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && stride[i] != expected) return numel() == 0;
    expected *= shape[i];
  }
  return true;
}

const char* name_of(Kind kind) {
  static const char* const names[] = {"None",  "bool", "int", "int",    "float",   "str",    "bytes", "list",
                                      "tuple", "dict", "set", "global", "storage", "tensor", "object"};
  return names[static_cast<std::size_t>(kind)];
}

const Value* Value::find(std::string_view key) const {
  if (kind != Kind::dict) return nullptr;
  for (std::size_t i = items.size(); i >= 2; i -= 2)
    if (items[i - 2]->kind == Kind::text && items[i - 2]->text == key) return items[i - 1];
  return nullptr;
}

Values::Values(std::uint64_t cap) : budget(cap) {
  true_.kind = false_.kind = Kind::boolean;
  true_.integer = 1;
}

Value* Values::make(Kind kind) {
  if (!budget.charge(sizeof(Value) + sizeof(void*))) return nullptr;
  nodes_.emplace_back();
  nodes_.back().kind = kind;
  return &nodes_.back();
}

void Values::warn(const std::string& what) {
  if (warnings.size() < 16 && std::find(warnings.begin(), warnings.end(), what) == warnings.end())
    warnings.push_back(what);
}

std::string describe(const Value& v) {
  switch (v.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return v.integer ? "True" : "False";
    case Kind::integer:
      return std::to_string(v.integer);
    case Kind::big_integer:
      return v.text;
    case Kind::real: {
      char text[64];
      return {text, std::to_chars(text, text + sizeof text, v.real).ptr};
    }
    case Kind::text:
      return "'" + printable(v.text) + "'";
    case Kind::bytes:
      return str("bytes of ", v.text.size());
    case Kind::global:
      return "name " + printable(v.text);
    case Kind::dict:
      return str(v.ordered ? "OrderedDict of " : "dict of ", v.items.size() / 2);
    case Kind::object:
      return "object of class " + (v.type ? printable(v.type->text) : std::string("?"));
    case Kind::list:
    case Kind::tuple:
    case Kind::set:
      return str(name_of(v.kind), " of ", v.items.size());
    default:
      return name_of(v.kind);
  }
}

}  // namespace pen::torch
