// PyTorch files as checkpoints, and back: which key of a file's dictionary is what.
#pragma once

#include <string>

#include "models/checkpoint.h"
#include "models/torch/file.h"

namespace pen {

// Understood: files of the reference (epoch, state_dict_classifier, state_dict_masker, optimizer_*, args), of CASME
// (state_dict_decoder is the masker), of PyTorch's ImageNet script (state_dict, best_acc1, optimizer), plain state
// dicts, and any dictionary of state dicts (each becomes a part of its name). `module.` of DataParallel is dropped.
// Optimizer states are mapped by the position in `params`, never by id. Options of the masker become facts, `args`
// their JSON. Tensors are read once, into memory: 16-bit floats widened to float32, 8- and 16-bit integers to int32.
// What is passed over (objects of unknown classes, entries that are no tensors) is said as a warning.
Checkpoint checkpoint_of(const torch::File& file);

// Writes a checkpoint as the reference does: a dictionary of epoch, state_dict_classifier, state_dict_masker,
// optimizer_classifier, optimizer_masker (as PyTorch's optimizers give and take them) and args; every other part under
// its name. Beside them `penumbra` holds what only we read: the facts, the names of the optimizers' parameters, the
// zoo.
void write_torch(const std::string& path, const Checkpoint& checkpoint, torch::Format format);
// The same as a value of `values`.
torch::Value* value_of(const Checkpoint& checkpoint, torch::Values& values);

// Whether an entry of a state dict is a buffer of a norm layer, and so none of an optimizer's parameters.
bool is_buffer_name(const std::string& name);

}  // namespace pen
