// Errors: the only place where they are made and formatted. Checks stay on in Release.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace pen {

// What went wrong, which is also the exit code of the command line program.
enum class ErrorKind { run = 1, usage = 2, data = 3, checkpoint = 4, device = 5 };

// One error: a line that says what and where, and an optional hint that says what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::string hint = {})
      : std::runtime_error(message), kind_(kind), hint_(std::move(hint)) {}
  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }
  const std::string& hint() const noexcept { return hint_; }

 private:
  ErrorKind kind_;
  std::string hint_;
};

// Concatenates anything that has operator<< (kept free of fmt, so that .cu files can use it too).
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

[[noreturn]] void fail(ErrorKind kind, const std::string& message, const std::string& hint = {});

namespace detail {
// Parts are only formatted once the check has failed.
template <class... Parts>
[[noreturn]] void check_failed(ErrorKind kind, const Parts&... parts) {
  fail(kind, str(parts...));
}
}  // namespace detail
}  // namespace pen

// PEN_CHECK(cond, "conv2d: kernel span ", span, " does not fit input ", size): an Error of kind `run`.
#define PEN_CHECK(cond, ...) \
  (static_cast<bool>(cond) ? void(0) : ::pen::detail::check_failed(::pen::ErrorKind::run, __VA_ARGS__))
// The same for another kind: PEN_CHECK_AS(data, size > 0, path, ": the file is empty").
#define PEN_CHECK_AS(kind, cond, ...) \
  (static_cast<bool>(cond) ? void(0) : ::pen::detail::check_failed(::pen::ErrorKind::kind, __VA_ARGS__))
