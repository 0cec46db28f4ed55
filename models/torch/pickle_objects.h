// What the names in a pickle mean here: which calls are understood, and what they make.
#pragma once

#include "models/torch/pickle.h"

namespace pen::torch {

// The opcode that is at work: for messages, and for making nodes.
struct Site {
  const Cursor& cursor;
  Values& values;
  std::uint64_t at;
  const char* opcode;
  [[noreturn]] void refuse(const std::string& reason) const { cursor.refuse(at, str(opcode, ": ", reason)); }
  Value* make(Kind kind) const {
    Value* v = values.make(kind);
    if (!v) out_of_budget();
    return v;
  }
  void append(Value& to, Value* item) const {
    if (!values.push(to.items, item)) out_of_budget();
  }
  [[noreturn]] void out_of_budget() const {
    refuse(str("what the file describes needs more than ", values.budget.cap(), " bytes of memory"));
  }
  const Value& expect(const Value* v, Kind kind, const char* what) const {
    if (v->kind != kind) refuse(str(what, " is ", describe(*v), ", expected ", name_of(kind)));
    return *v;
  }
};

// Python 3's name of what Python 2 called otherwise; refused: modules that act on the machine.
std::string checked_name(const Site& site, const std::string& module, const std::string& name);
Value* call(const Site& site, const Value& callee, Value* arguments);  // REDUCE
Value* construct(const Site& site, Value* type, Value* arguments);     // NEWOBJ
void set_state(const Site& site, Value& object, Value* state);         // BUILD
// The tensor over `storage` with these sizes, strides (lists of integers) and offset; refused unless it lies inside.
Value* make_tensor(const Site& site, const std::shared_ptr<Storage>& storage, Scalar type, const Value& offset,
                   const Value& size, const Value& stride);
bool hashable(const Value& value);

}  // namespace pen::torch
