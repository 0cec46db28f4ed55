#include "models/torch/file.h"

#include <algorithm>

#include "models/torch/tar.h"

namespace pen::torch {
namespace {

// 80 02 8A 0A, then the number 0x1950a86a20f9469cfc6c, then STOP.
constexpr std::uint8_t legacy_magic[15] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                           0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

void swap_bytes(std::uint8_t* data, std::uint64_t count, std::size_t size) {
  for (std::uint64_t i = 0; i < count; ++i) std::reverse(data + i * size, data + (i + 1) * size);
}

[[noreturn]] void refuse_unknown(const Source& source, const std::uint8_t* head, std::uint64_t n) {
  const std::string_view start(reinterpret_cast<const char*>(head), n);
  std::string what = "the format is unknown; expected a PyTorch file (zip, legacy or tar) or safetensors";
  if (n == 0)
    what = "the file is empty";
  else if (start.starts_with("PYTORCH1"))
    what = "a container of PyTorch 1.0's preview; save the state_dict again with torch.save";
  else if (start.starts_with("\x93NUMPY"))
    what = "a NumPy array; expected a PyTorch file or safetensors";
  else if (n >= 2 && head[0] == 0x80 && head[1] <= 5)
    what = "a bare pickle, not a file of torch.save; save a state_dict with torch.save";
  refuse_at(source.name(), "", 0, what);
}

}  // namespace

const char* name_of(Format format) {
  return format == Format::zip ? "zip" : format == Format::legacy ? "legacy" : "tar";
}

Sniffed sniff(const Source& source) {
  std::uint8_t head[15] = {};
  const std::uint64_t n = std::min<std::uint64_t>(source.size(), sizeof head);
  source.read(0, head, n);
  if (n >= 4 && std::memcmp(head, "PK\x03\x04", 4) == 0) return Sniffed::zip;
  if (n == 15 && std::memcmp(head, legacy_magic, 15) == 0) return Sniffed::legacy;
  if (looks_like_tar(source)) return Sniffed::tar;
  std::uint64_t length = 0;
  std::memcpy(&length, head, 8);
  if (n >= 9 && length <= 100'000'000 && head[8] == '{') return Sniffed::safetensors;
  return Sniffed::other;
}

File::File(Source source, std::uint64_t cap) : source_(std::move(source)), values_(std::make_unique<Values>(cap)) {}

std::unique_ptr<File> File::open(const std::string& path) { return parse(Source::open(path)); }

std::unique_ptr<File> File::parse(Source source, std::uint64_t max_memory) {
  const std::uint64_t cap = max_memory ? max_memory : Budget::cap_of(source.size());
  std::unique_ptr<File> out(new File(std::move(source), cap));
  switch (sniff(out->source_)) {
    case Sniffed::zip:
      out->format_ = Format::zip;
      out->open_zip();
      break;
    case Sniffed::legacy:
      out->format_ = Format::legacy;
      out->open_legacy();
      break;
    case Sniffed::tar:
      out->format_ = Format::tar;
      out->open_tar();
      break;
    default: {
      std::uint8_t head[15] = {};
      const std::uint64_t n = std::min<std::uint64_t>(out->source_.size(), sizeof head);
      out->source_.read(0, head, n);
      refuse_unknown(out->source_, head, n);
    }
  }
  return out;
}

void File::read_storage(const Storage& storage, std::uint64_t from, void* to, std::uint64_t n) const {
  if (from > storage.bytes || n > storage.bytes - from || !storage.placed)
    refuse_at(path(), storage.entry, storage.at,
              str("storage '", printable(storage.key), "' has no bytes ", from, "..", from + n));
  if (storage.memory)
    std::memcpy(to, storage.memory + from, n);
  else
    source_.read(storage.at + from, to, n);
}

void File::charge(const TensorInfo& tensor, const std::string& name, std::uint64_t bytes) const {
  if (!values_->budget.charge(bytes))
    refuse_at(path(), tensor.storage->entry, tensor.storage->at,
              str("tensor '", printable(name), "' needs ", bytes, " bytes of memory; all in all a file may take ",
                  values_->budget.cap()));
}

void File::read(const TensorInfo& tensor, void* to) const {
  const std::size_t element = size_of(tensor.type);
  const std::uint64_t n = tensor.numel();
  auto* out = static_cast<std::uint8_t*>(to);
  const auto offset = static_cast<std::uint64_t>(tensor.offset);
  if (n == 0) return;
  if (tensor.contiguous()) {
    read_storage(*tensor.storage, offset * element, out, n * element);
  } else {
    // The part of the storage that the view touches, then its elements one by one.
    std::uint64_t reach = 1;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i)
      reach += static_cast<std::uint64_t>((tensor.shape[i] - 1) * tensor.stride[i]);
    charge(tensor, tensor.storage->key, reach * element);
    std::vector<std::uint8_t> part(reach * element);
    read_storage(*tensor.storage, offset * element, part.data(), part.size());
    std::vector<std::int64_t> index(tensor.shape.size(), 0);
    std::uint64_t from = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      std::memcpy(out + i * element, part.data() + from * element, element);
      for (std::size_t d = index.size(); d-- > 0;) {
        from += static_cast<std::uint64_t>(tensor.stride[d]);
        if (++index[d] < tensor.shape[d]) break;
        from -= static_cast<std::uint64_t>(tensor.stride[d] * tensor.shape[d]);
        index[d] = 0;
      }
    }
    values_->budget.give_back(part.size());
  }
  if (tensor.storage->swapped) swap_bytes(out, n, element);
}

void File::read_widened(const TensorInfo& tensor, void* to) const {
  if (size_of(memory_type(tensor.type)) == size_of(tensor.type)) {
    read(tensor, to);
    if (tensor.type == Scalar::boolean) widen(tensor.type, to, tensor.numel(), to);
    return;
  }
  charge(tensor, tensor.storage->key, tensor.bytes());
  std::vector<std::uint8_t> raw(tensor.bytes());
  read(tensor, raw.data());
  widen(tensor.type, raw.data(), tensor.numel(), to);
  values_->budget.give_back(raw.size());
}

}  // namespace pen::torch
