// Untrusted bytes: a file that is read in place, a cursor over a part of it, and the budget that everything made from
// it is taken from. Every complaint names the file, the entry in it, the byte and the reason.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"

namespace pen::torch {

// A file, or bytes in memory, read by offset. Reads go by pread and not through a map: a file that is cut while it is
// open is then an error and not a SIGBUS.
class Source {
 public:
  // Missing, unreadable or not a regular file: an Error of kind checkpoint.
  static Source open(const std::string& path);
  // Bytes that outlive the source (fuzzing, tests). `name` stands in messages.
  static Source memory(std::span<const std::uint8_t> bytes, const std::string& name);

  const std::string& name() const { return name_; }
  std::uint64_t size() const { return size_; }
  const std::uint8_t* in_memory() const { return memory_; }  // null for files
  // Copies n bytes from offset `at`; past the end is refused.
  void read(std::uint64_t at, void* to, std::uint64_t n) const;

 private:
  Source() = default;
  std::string name_;
  std::uint64_t size_ = 0;
  Fd fd_;
  const std::uint8_t* memory_ = nullptr;
};

// Throws an Error of kind checkpoint: 'FILE': ENTRY: byte AT: REASON.
[[noreturn]] void refuse_at(const std::string& file, const std::string& entry, std::uint64_t at,
                            const std::string& reason);

// What reading one file may take of memory, in bytes, all in all: max(64 MiB, 4 times the file's size). Charged before
// memory is taken; structures are charged by what they could at most use.
class Budget {
 public:
  explicit Budget(std::uint64_t cap) : cap_(cap) {}
  static std::uint64_t cap_of(std::uint64_t file_size);
  // False if that much is not left; nothing is charged then.
  bool charge(std::uint64_t bytes) {
    if (bytes > cap_ - used_) return false;
    used_ += bytes;
    return true;
  }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  std::uint64_t cap() const { return cap_; }

 private:
  std::uint64_t cap_, used_ = 0;
};

// Reads a range of a source from front to back.
class Cursor {
 public:
  // `entry` stands in messages: "archive/data.pkl".
  Cursor(const Source& source, std::string entry, std::uint64_t begin, std::uint64_t end);

  std::uint64_t at() const { return at_; }  // offset in the file
  std::uint64_t left() const { return end_ - at_; }
  const Source& source() const { return source_; }
  const std::string& entry() const { return entry_; }

  std::uint8_t u8() {
    if (at_ == window_end_) fill();
    return window_[at_++ - window_begin_];
  }
  // Little-endian, as everything in these formats but BINFLOAT.
  template <class T>
  T little() {
    std::uint8_t raw[sizeof(T)];
    bytes(raw, sizeof(T));
    std::uint64_t bits = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) bits = bits << 8 | raw[i];
    return static_cast<T>(bits);
  }
  // n bytes; the caller has taken care that they may be held.
  void bytes(void* to, std::uint64_t n);
  // Refuses if fewer than n bytes are left for `what`.
  void need(std::uint64_t n, const char* what) const;
  // Up to and without the next '\n', at most `longest` bytes.
  std::string line(std::size_t longest);
  void skip(std::uint64_t n, const char* what) {
    need(n, what);
    at_ += n;
    if (at_ > window_end_) window_begin_ = window_end_ = at_;
  }
  [[noreturn]] void refuse(std::uint64_t at, const std::string& reason) const {
    refuse_at(source_.name(), entry_, at, reason);
  }

 private:
  void fill();
  const Source& source_;
  std::string entry_;
  std::uint64_t at_, end_;
  const std::uint8_t* window_ = nullptr;  // of bytes [window_begin_, window_end_)
  std::uint64_t window_begin_, window_end_;
  std::vector<std::uint8_t> buffer_;
};

// Text of a file for a message: control characters and broken UTF-8 as \xNN, cut after `longest` bytes.
std::string printable(std::string_view text, std::size_t longest = 80);

}  // namespace pen::torch
