#include "models/torch/bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pen::torch {

Source Source::open(const std::string& path) {
  Source out;
  out.name_ = path;
  out.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  PEN_CHECK_AS(checkpoint, out.fd_.get() >= 0, "cannot open '", path, "': ", std::strerror(errno));
  struct stat info {};
  PEN_CHECK_AS(checkpoint, ::fstat(out.fd_.get(), &info) == 0, "cannot stat '", path, "': ", std::strerror(errno));
  PEN_CHECK_AS(checkpoint, S_ISREG(info.st_mode), "'", path, "' is not a file");
  out.size_ = static_cast<std::uint64_t>(info.st_size);
  return out;
}

Source Source::memory(std::span<const std::uint8_t> bytes, const std::string& name) {
  static const std::uint8_t nothing = 0;
  Source out;
  out.name_ = name;
  out.size_ = bytes.size();
  out.memory_ = bytes.empty() ? &nothing : bytes.data();
  return out;
}

void Source::read(std::uint64_t at, void* to, std::uint64_t n) const {
  if (n == 0) return;
  if (at > size_ || n > size_ - at)
    refuse_at(name_, "", size_, str("the file ends here, ", n, " bytes from byte ", at, " on were expected"));
  if (memory_) {
    std::memcpy(to, memory_ + at, n);
    return;
  }
  for (std::uint64_t got = 0; got < n;) {
    const ssize_t part =
        ::pread(fd_.get(), static_cast<std::uint8_t*>(to) + got, n - got, static_cast<off_t>(at + got));
    if (part < 0 && errno == EINTR) continue;
    PEN_CHECK_AS(checkpoint, part >= 0, "cannot read '", name_, "': ", std::strerror(errno));
    if (part == 0) refuse_at(name_, "", at + got, str("the file ends here, although it had ", size_, " bytes before"));
    got += static_cast<std::uint64_t>(part);
  }
}

void refuse_at(const std::string& file, const std::string& entry, std::uint64_t at, const std::string& reason) {
  fail(ErrorKind::checkpoint, str("'", file, "': ", entry, entry.empty() ? "" : ": ", "byte ", at, ": ", reason));
}

std::uint64_t Budget::cap_of(std::uint64_t file_size) {
  constexpr std::uint64_t least = std::uint64_t{64} << 20;
  return std::max(least, file_size > UINT64_MAX / 4 ? UINT64_MAX : 4 * file_size);
}

Cursor::Cursor(const Source& source, std::string entry, std::uint64_t begin, std::uint64_t end)
    : source_(source), entry_(std::move(entry)), at_(begin), end_(end), window_begin_(begin), window_end_(begin) {
  PEN_CHECK(begin <= end && end <= source.size(), "cursor: bytes ", begin, "..", end, " of ", source.size());
}

void Cursor::fill() {
  need(1, "more");
  if (source_.in_memory()) {
    window_ = source_.in_memory() + at_;
    window_begin_ = at_;
    window_end_ = end_;
    return;
  }
  constexpr std::uint64_t piece = 1 << 14;
  buffer_.resize(static_cast<std::size_t>(std::min(piece, left())));
  source_.read(at_, buffer_.data(), buffer_.size());
  window_ = buffer_.data();
  window_begin_ = at_;
  window_end_ = at_ + buffer_.size();
}

void Cursor::bytes(void* to, std::uint64_t n) {
  need(n, "bytes");
  auto* out = static_cast<std::uint8_t*>(to);
  while (n > 0) {
    if (at_ == window_end_) fill();
    const std::uint64_t part = std::min(n, window_end_ - at_);
    std::memcpy(out, window_ + (at_ - window_begin_), part);
    at_ += part;
    out += part;
    n -= part;
  }
}

void Cursor::need(std::uint64_t n, const char* what) const {
  if (n <= left()) return;
  refuse(end_, str(end_ == source_.size() ? "the file ends here" : "the entry ends here", ", ", n, " bytes of ", what,
                   " were expected from byte ", at_, " on"));
}

std::string Cursor::line(std::size_t longest) {
  std::string out;
  const std::uint64_t begin = at_;
  for (std::uint8_t c = u8(); c != '\n'; c = u8()) {
    if (out.size() == longest) refuse(begin, str("a line of more than ", longest, " bytes"));
    out.push_back(static_cast<char>(c));
  }
  return out;
}

std::string printable(std::string_view text, std::size_t longest) {
  static const char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (out.size() >= longest) return out + "...";
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7f) {
      out.push_back(text[i]);
    } else {
      (out += "\\x").push_back(digits[c >> 4]);
      out.push_back(digits[c & 15]);
    }
  }
  return out;
}

}  // namespace pen::torch
