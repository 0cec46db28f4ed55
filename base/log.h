// Messages for people on stderr (data goes to stdout), and the progress line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pen::log {

enum class Level { quiet = 0, normal = 1, verbose = 2 };
void set_level(Level level);
Level level();

void info(const std::string& line);    // not with -q
void detail(const std::string& line);  // with -v only
void warn(const std::string& line);    // always, prefixed "warning: "
// Everything that is logged is also appended to this file, if one is set; "" closes it.
void set_file(const std::string& path);

// auto: a bar on a terminal, a plain line now and then otherwise.
enum class ProgressStyle { automatic, bar, plain, json, none };
void set_progress(ProgressStyle style);
ProgressStyle parse_progress(const std::string& name);  // auto|bar|plain|json|none, else a usage error

// One running count with throughput and ETA: `score 120/2000 | 31.2 img/s | ETA 1:02 | extra`.
class Progress {
 public:
  Progress(std::string what, std::int64_t total, std::string unit = "img");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(std::int64_t count, const std::string& extra = {});
  void finish();

 private:
  void draw(bool last);
  std::string what_, unit_, extra_;
  std::int64_t total_, done_ = 0;
  bool finished_ = false;
  std::chrono::steady_clock::time_point start_, last_draw_;
};

}  // namespace pen::log
