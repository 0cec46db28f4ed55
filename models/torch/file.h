// A file of PyTorch's, opened: its format, what its pickle says, and its tensors, which stay in the file until they are
// read.
#pragma once

#include <memory>
#include <unordered_map>

#include "models/torch/value.h"

namespace pen::torch {

enum class Format { zip, legacy, tar };
const char* name_of(Format format);

// What the first bytes of a file say it is. `other`: none of those that hold weights.
enum class Sniffed { zip, legacy, tar, safetensors, other };
Sniffed sniff(const Source& source);

class File {
 public:
  // By content, whatever the file's name. Anything wrong with it: an Error of kind checkpoint that names the file, the
  // entry, the byte and the reason. max_memory 0: Budget::cap_of the file's size.
  static std::unique_ptr<File> open(const std::string& path);
  static std::unique_ptr<File> parse(Source source, std::uint64_t max_memory = 0);

  const std::string& path() const { return source_.name(); }
  Format format() const { return format_; }
  std::uint64_t size() const { return source_.size(); }
  const Value& root() const { return *root_; }
  Budget& values_budget() const { return values_->budget; }
  const std::vector<std::string>& warnings() const { return values_->warnings; }
  const std::vector<std::shared_ptr<Storage>>& storages() const { return storages_; }

  // The tensor's elements in row-major order, of its own type and little-endian: tensor.bytes() bytes.
  void read(const TensorInfo& tensor, void* to) const;
  // The same as memory_type(tensor.type).
  void read_widened(const TensorInfo& tensor, void* to) const;
  // Charges what a tensor will take; refused (naming `name`) if that is more than the budget has left.
  void charge(const TensorInfo& tensor, const std::string& name, std::uint64_t bytes) const;
  // Bytes [from, from + n) of a storage.
  void read_storage(const Storage& storage, std::uint64_t from, void* to, std::uint64_t n) const;
  // Compares every entry with its CRC-32 (zip; the other formats have none). Returns how many were compared.
  std::size_t check_sums() const;

 private:
  explicit File(Source source, std::uint64_t cap);
  void open_zip();
  void open_legacy();
  void open_tar();
  void place_views();
  std::shared_ptr<Storage> storage_of(const Value& id, const Cursor& cursor, std::uint64_t at, bool view_allowed);

  Source source_;
  Format format_ = Format::zip;
  std::unique_ptr<Values> values_;
  std::vector<std::shared_ptr<Storage>> storages_;
  const Value* root_ = nullptr;
  std::unordered_map<std::string, std::shared_ptr<Storage>> by_key_;
  struct View {  // the part of `root` from byte `first` on
    std::shared_ptr<Storage> alias, root;
    std::uint64_t first;
  };
  std::vector<View> views_;
  struct Sum {  // of a zip entry
    std::string entry;
    std::uint64_t at, size;
    std::uint32_t crc;
  };
  std::vector<Sum> sums_;
};

}  // namespace pen::torch
