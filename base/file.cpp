#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace pen {
namespace {

Fd open_regular(const std::string& path, ErrorKind kind, std::uint64_t& size) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail(kind, str("cannot open '", path, "': ", std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail(kind, str("cannot stat '", path, "': ", std::strerror(errno)));
  if (!S_ISREG(info.st_mode)) fail(kind, str("'", path, "' is not a file"));
  size = static_cast<std::uint64_t>(info.st_size);
  return fd;
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void read_file(const std::string& path, std::uint64_t max_bytes, std::vector<std::uint8_t>& out, ErrorKind kind) {
  std::uint64_t size = 0;
  const Fd fd = open_regular(path, kind, size);
  if (size > max_bytes)
    fail(kind, str("'", path, "' has ", size, " bytes, more than the ", max_bytes, " allowed here"));
  out.resize(size);
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::read(fd.get(), out.data() + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(kind, str("cannot read '", path, "': ", std::strerror(errno)));
    if (n == 0) fail(kind, str("'", path, "' ended at byte ", got, " of ", size));
    got += static_cast<std::size_t>(n);
  }
}

std::vector<std::uint8_t> read_file(const std::string& path, std::uint64_t max_bytes, ErrorKind kind) {
  std::vector<std::uint8_t> out;
  read_file(path, max_bytes, out, kind);
  return out;
}

MappedFile::MappedFile(const std::string& path, ErrorKind kind) : path_(path) {
  std::uint64_t size = 0;
  const Fd fd = open_regular(path, kind, size);
  size_ = size;
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) fail(kind, str("cannot map '", path, "': ", std::strerror(errno)));
  data_ = static_cast<const std::uint8_t*>(map);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), aside_(path + ".tmp-" + std::to_string(::getpid())) {
  fd_ = Fd(::open(aside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  PEN_CHECK(fd_.get() >= 0, "cannot write '", path_, "': ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (!aside_.empty()) ::unlink(aside_.c_str());
}

void AtomicFile::write(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  if (buffer_.size() >= (std::size_t{1} << 20)) flush();
}

void AtomicFile::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(fd_.get(), buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    PEN_CHECK(n >= 0, "cannot write '", path_, "': ", std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  PEN_CHECK(::fsync(fd_.get()) == 0, "cannot write '", path_, "': ", std::strerror(errno));
  fd_ = Fd();
  PEN_CHECK(::rename(aside_.c_str(), path_.c_str()) == 0, "cannot rename '", aside_, "' to '", path_,
            "': ", std::strerror(errno));
  aside_.clear();
  // The rename itself is only durable once the folder is.
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const Fd dir(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() >= 0) ::fsync(dir.get());
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  PEN_CHECK(!error, "cannot make the folder '", path, "': ", error.message());
}

}  // namespace pen
