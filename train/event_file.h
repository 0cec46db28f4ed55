// TensorBoard's event files: the figures of a run as TensorBoard reads them, without TensorFlow.
//
// A file is a sequence of records: length (u64), masked CRC-32C of the length (u32), data, masked CRC-32C of the data
// (u32), all little-endian (tensorflow/core/lib/io/record_writer.h). The data are protocol buffers of type Event
// {wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5 {value = 1 {tag = 1 (string),
// simple_value = 2 (float)}}} (tensorflow/core/util/event.proto, framework/summary.proto).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pen {

// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720, B.4).
std::uint32_t crc32c(std::span<const std::uint8_t> bytes);
// As records store it: ((crc >> 15) | (crc << 17)) + 0xa282ead8.
std::uint32_t masked_crc32c(std::span<const std::uint8_t> bytes);

// Appends events to <folder>/events.out.tfevents.penumbra, each record flushed as it is written.
class EventFile {
 public:
  // A file that is there already goes on: events of steps from resume_step on, and a record that a crash cut short or
  // damaged with all that follows it, are dropped first, so that every step stands there once.
  EventFile(const std::string& folder, std::int64_t resume_step);
  // One event with a value for each figure: tag "<prefix>/<name>". Figures that are NaN are left out, as they are not
  // defined; infinities are kept.
  void scalars(std::string_view prefix, std::int64_t step, const std::vector<std::pair<std::string, double>>& figures);
  const std::string& path() const { return path_; }

 private:
  void append(const std::vector<std::uint8_t>& event);
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

// One record with data, checked: the data's place in the file.
struct EventRecord {
  std::size_t begin = 0, end = 0;  // of the whole record
  std::span<const std::uint8_t> data;
};
// The records of a file up to the first one that is cut short or fails its check.
std::vector<EventRecord> event_records(std::span<const std::uint8_t> file);
// The step of an event; 0 where it has none. A malformed event: -1.
std::int64_t step_of_event(std::span<const std::uint8_t> event);

}  // namespace pen
