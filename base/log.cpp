#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <mutex>

#include "base/check.h"

namespace pen::log {
namespace {

struct State {
  std::mutex mutex;
  Level level = Level::normal;
  ProgressStyle progress = ProgressStyle::automatic;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, &std::fclose};
  bool bar_shown = false;  // a bar stands on the terminal's last line and has to go before a message
};

State& state() {
  static State s;
  return s;
}

void write_line(const std::string& line, bool to_stderr) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (to_stderr) {
    if (s.bar_shown) std::fputs("\r\033[K", stderr);
    s.bar_shown = false;
    std::fprintf(stderr, "%s\n", line.c_str());
    std::fflush(stderr);
  }
  if (s.file) {
    std::fprintf(s.file.get(), "%s\n", line.c_str());
    std::fflush(s.file.get());
  }
}

std::string duration(double seconds) {
  const auto s = static_cast<long long>(seconds + 0.5);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

ProgressStyle effective_style() {
  const ProgressStyle style = state().progress;
  if (state().level == Level::quiet) return ProgressStyle::none;
  if (style != ProgressStyle::automatic) return style;
  return isatty(STDERR_FILENO) ? ProgressStyle::bar : ProgressStyle::plain;
}

}  // namespace

void set_level(Level level) { state().level = level; }
Level level() { return state().level; }
void info(const std::string& line) { write_line(line, state().level >= Level::normal); }
void detail(const std::string& line) {
  if (state().level >= Level::verbose) write_line(line, true);
}
void warn(const std::string& line) { write_line("warning: " + line, true); }

void set_file(const std::string& path) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  s.file.reset();
  if (path.empty()) return;
  s.file.reset(std::fopen(path.c_str(), "a"));
  PEN_CHECK(s.file != nullptr, "cannot append to the log '", path, "'");
}

void set_progress(ProgressStyle style) { state().progress = style; }

ProgressStyle parse_progress(const std::string& name) {
  if (name == "auto") return ProgressStyle::automatic;
  if (name == "bar") return ProgressStyle::bar;
  if (name == "plain") return ProgressStyle::plain;
  if (name == "json") return ProgressStyle::json;
  if (name == "none") return ProgressStyle::none;
  fail(ErrorKind::usage, "--progress: '" + name + "' is not one of auto, bar, plain, json, none");
}

Progress::Progress(std::string what, std::int64_t total, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      last_draw_(start_) {}

Progress::~Progress() { finish(); }

void Progress::advance(std::int64_t count, const std::string& extra) {
  done_ += count;
  extra_ = extra;
  const auto now = std::chrono::steady_clock::now();
  const double pause = effective_style() == ProgressStyle::bar ? 0.1 : 10.0;
  if (std::chrono::duration<double>(now - last_draw_).count() < pause) return;
  last_draw_ = now;
  draw(false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(true);
}

void Progress::draw(bool last) {
  const ProgressStyle style = effective_style();
  if (style == ProgressStyle::none) return;
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done_) / elapsed : 0.0;
  const double eta = rate > 0 && total_ > done_ ? static_cast<double>(total_ - done_) / rate : 0.0;
  std::string line;
  if (style == ProgressStyle::json) {
    line = fmt::format(R"({{"progress":"{}","done":{},"total":{},"per_s":{:.2f},"eta_s":{:.1f}}})", what_, done_,
                       total_, rate, eta);
  } else {
    line = fmt::format("{} {}/{} | {:.1f} {}/s | {} {}", what_, done_, total_, rate, unit_, last ? "took" : "ETA",
                       duration(last ? elapsed : eta));
    if (!extra_.empty()) line += " | " + extra_;
  }
  if (style != ProgressStyle::bar || last) {
    write_line(line, true);
    return;
  }
  State& s = state();
  std::lock_guard lock(s.mutex);
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  s.bar_shown = true;
}

}  // namespace pen::log
