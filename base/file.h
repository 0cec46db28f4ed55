// Files: read whole with a bound, written complete or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace pen {

// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd();
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  int get() const { return fd_; }

 private:
  int fd_;
};

// The whole file in memory. Missing, unreadable, a folder, or larger than max_bytes: an Error of `kind` naming it.
std::vector<std::uint8_t> read_file(const std::string& path, std::uint64_t max_bytes, ErrorKind kind = ErrorKind::data);
// The same into a buffer that keeps its capacity between calls.
void read_file(const std::string& path, std::uint64_t max_bytes, std::vector<std::uint8_t>& out,
               ErrorKind kind = ErrorKind::data);

// A read-only memory map of a file, unmapped on destruction.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path, ErrorKind kind = ErrorKind::data);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// A file that appears under its name only when commit() has written and synchronised all of it (written aside as
// `<path>.tmp-<pid>`, then renamed; the folder is synchronised too). Without commit() nothing is left behind.
// A full disk is an Error of kind `run` that names the file, and an older file of that name stays as it was.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  void flush();
  std::string path_, aside_;
  Fd fd_;
  std::vector<std::uint8_t> buffer_;
};

// AtomicFile for a text that is at hand.
void write_file(const std::string& path, std::string_view text);
// Makes the folder and its parents; an Error of kind `run` names the one that cannot be made.
void make_folders(const std::string& path);

}  // namespace pen
