// The native weight format: safetensors (an 8-byte little-endian header length, a JSON header, raw data).
// Format: https://github.com/huggingface/safetensors, "Format".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace pen {

// One stored tensor. `dtype` is the file's own name (F32, F64, F16, BF16, I64, I32, I16, I8, U8, U16, BOOL...).
struct StoredTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;  // shape's product times the element size, inside the file; unaligned
  std::int64_t numel() const;
};

// A file's table of contents; tensor bytes stay where they are (memory-mapped, or in the caller's buffer).
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);
  // Parses a buffer that outlives the result. `name` stands in messages. Any violation of the format (header longer
  // than the file or 100 MB, overlapping or out-of-file tensors, holes, size and shape that disagree, unknown dtype,
  // duplicate name) is an Error of kind checkpoint.
  static SafetensorsFile parse(std::span<const std::uint8_t> bytes, const std::string& name);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::vector<std::string>& order() const { return order_; }  // names as the header lists them
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const StoredTensor& at(const std::string& name) const;  // missing: an Error that names the file
  const std::string& name() const { return name_; }
  // Where a tensor's bytes begin, from the start of the file.
  std::uint64_t offset_of(const StoredTensor& tensor) const {
    return static_cast<std::uint64_t>(tensor.bytes.data() - start_);
  }

 private:
  std::string name_;
  const std::uint8_t* start_ = nullptr;
  std::shared_ptr<MappedFile> file_;
  std::map<std::string, StoredTensor> tensors_;
  std::vector<std::string> order_;
  std::map<std::string, std::string> metadata_;
};

// Writes a file: add() keeps only pointers, so the data must live until write(). Names are unique.
class SafetensorsWriter {
 public:
  void metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
  void add(const std::string& name, const std::string& dtype, std::vector<std::int64_t> shape, const void* data);
  void write(const std::string& path) const;  // complete or absent (AtomicFile)

 private:
  struct Entry {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    const void* data;
    std::uint64_t size;
  };
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

// Bytes of one element of a safetensors dtype name, 0 if unknown.
std::size_t safetensors_element_size(const std::string& dtype);

}  // namespace pen
