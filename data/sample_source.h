// What a loader needs to know about a list of images; nothing about where the list comes from.
#pragma once

#include <cstdint>
#include <string>

namespace pen {

// A list of (image file, class index). Safe to read from several threads.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual std::int64_t size() const = 0;
  virtual std::string path(std::int64_t i) const = 0;    // 0 <= i < size()
  virtual std::int64_t label(std::int64_t i) const = 0;  // 0 <= i < size()
};

}  // namespace pen
