// Python pickles, protocols 0 to 5, as far as weight files use them. Reads a description of objects into inert values;
// nothing is imported, looked up or called, whatever the pickle asks for.
#pragma once

#include <functional>

#include "models/torch/value.h"

namespace pen::torch {

// What a persistent id stands for (a storage or a tensor); throws by cursor.refuse(at, ...) if nothing.
using PersistentLoad = std::function<Value*(const Value& id, const Cursor& cursor, std::uint64_t at)>;

// One pickle from the cursor on, up to its STOP; the cursor stands behind it afterwards. Refused, with the opcode's
// place: opcodes that no weight file has, operands of the wrong kind, a stack that runs out, ids that were never
// stored, lengths beyond the entry, names of modules that act on the machine, calls of anything but the functions that
// PyTorch's own files call, tensors that do not lie inside their storage, and more memory than the budget has.
Value* unpickle(Cursor& cursor, Values& values, const PersistentLoad& load);

}  // namespace pen::torch
