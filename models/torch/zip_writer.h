// Zip archives as PyTorch writes them: stored, UTF-8 names, sizes behind the data, payloads at multiples of 64, ZIP64
// end records.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace pen::torch {

class ZipWriter {
 public:
  // wide_from: sizes and offsets from there on are written as 64-bit fields (tests lower it).
  explicit ZipWriter(AtomicFile& file, std::uint64_t wide_from = 0xffffffff) : file_(file), wide_from_(wide_from) {}
  // begin, write..., end: one entry of exactly `size` bytes.
  void begin(const std::string& name, std::uint64_t size);
  void write(const void* data, std::size_t n);
  void end();
  void add(const std::string& name, std::string_view data);
  void finish();  // the directory

 private:
  struct Entry {
    std::string name;
    std::uint64_t at = 0, size = 0, left = 0;
    std::uint32_t crc = 0;
  };
  void raw(const std::string& bytes);
  AtomicFile& file_;
  std::uint64_t wide_from_, at_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace pen::torch
