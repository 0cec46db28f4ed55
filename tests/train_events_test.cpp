// TensorBoard's event files, read again from their bytes: check sums, tags, steps, values; resumed and damaged files.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "tests/training_runs.h"
#include "train/event_file.h"

using namespace pen;
using namespace pen::test;

namespace {

constexpr const char* name = "/events.out.tfevents.penumbra";

struct Scalar {
  std::int64_t step = 0;
  std::string tag;
  float value = 0;
};
struct Events {
  std::string version;
  std::vector<Scalar> scalars;
};

std::uint64_t varint(const std::uint8_t*& p) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    value |= static_cast<std::uint64_t>(*p & 0x7f) << shift;
    if (!(*p++ & 0x80)) return value;
  }
}

std::uint32_t fixed32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
         static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24;
}

// CRC-32C bit by bit, as RFC 3720 defines it.
std::uint32_t slow_masked_crc(const std::uint8_t* p, std::size_t n) {
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t i = 0; i < n; ++i) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

void read_value(const std::uint8_t* p, const std::uint8_t* end, Scalar& out) {
  while (p < end) {
    const std::uint64_t key = varint(p);
    if (key == (1 << 3 | 2)) {
      const std::uint64_t n = varint(p);
      out.tag.assign(reinterpret_cast<const char*>(p), n);
      p += n;
    } else {
      REQUIRE(key == (2 << 3 | 5));
      out.value = std::bit_cast<float>(fixed32(p));
      p += 4;
    }
  }
}

// A reader of its own: shares nothing with the writer.
Events read_events(const std::string& path) {
  const std::vector<std::uint8_t> file = read_file(path, 1 << 24);
  Events out;
  for (const std::uint8_t *p = file.data(), *stop = p + file.size(); p < stop;) {
    const std::uint64_t n = fixed32(p);
    REQUIRE(fixed32(p + 4) == 0);
    REQUIRE(fixed32(p + 8) == slow_masked_crc(p, 8));
    REQUIRE(n <= static_cast<std::uint64_t>(stop - p) - 16);
    const std::uint8_t *q = p + 12, *end = q + n;
    REQUIRE(fixed32(end) == slow_masked_crc(q, n));
    std::int64_t step = 0;
    while (q < end) {
      const std::uint64_t key = varint(q);
      if (key == (1 << 3 | 1)) {
        const double when = std::bit_cast<double>(static_cast<std::uint64_t>(fixed32(q + 4)) << 32 | fixed32(q));
        CHECK(when > 1.7e9);  // after 2023
        q += 8;
      } else if (key == (2 << 3 | 0)) {
        step = static_cast<std::int64_t>(varint(q));
      } else if (key == (3 << 3 | 2)) {
        const std::uint64_t length = varint(q);
        out.version.assign(reinterpret_cast<const char*>(q), length);
        q += length;
      } else {
        REQUIRE(key == (5 << 3 | 2));
        const std::uint64_t length = varint(q);
        for (const std::uint8_t* summary_end = q + length; q < summary_end;) {
          REQUIRE(varint(q) == (1 << 3 | 2));
          const std::uint64_t size = varint(q);
          Scalar scalar{step, "", 0};
          read_value(q, q + size, scalar);
          out.scalars.push_back(scalar);
          q += size;
        }
      }
    }
    p = end + 4;
  }
  return out;
}

std::vector<std::int64_t> steps_of(const Events& events, const std::string& tag) {
  std::vector<std::int64_t> out;
  for (const Scalar& s : events.scalars)
    if (s.tag == tag) out.push_back(s.step);
  return out;
}

}  // namespace

TEST_CASE("events: CRC-32C of RFC 3720, appendix B.4") {
  std::vector<std::uint8_t> bytes(32, 0);
  CHECK(crc32c(bytes) == 0x8a9136aau);
  bytes.assign(32, 0xff);
  CHECK(crc32c(bytes) == 0x62a8ab43u);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  CHECK(crc32c(bytes) == 0x46dd794eu);
  CHECK(crc32c({}) == 0);
  CHECK(masked_crc32c(bytes) == slow_masked_crc(bytes.data(), 32));
}

TEST_CASE("events: what is written is what is read, and a resumed file holds each step once") {
  const ScratchFolder folder;
  {
    EventFile file(folder.path(), 0);
    for (std::int64_t step = 0; step < 300; ++step)
      file.scalars("train", step, {{"loss", 0.1 * static_cast<double>(step)}, {"none", std::nan("")}});
    file.scalars("val", 299, {{"loss", std::numeric_limits<double>::infinity()}});
    file.scalars("val", 299, {{"none", std::nan("")}});
  }
  const Events events = read_events(folder.path() + name);
  CHECK(events.version == "brain.Event:2");
  REQUIRE(events.scalars.size() == 301);
  for (std::int64_t step = 0; step < 300; ++step) {
    const Scalar& s = events.scalars[static_cast<std::size_t>(step)];
    CHECK(s.step == step);
    CHECK(s.tag == "train/loss");
    CHECK(s.value == static_cast<float>(0.1 * static_cast<double>(step)));
  }
  CHECK(std::isinf(events.scalars[300].value));
  {
    EventFile file(folder.path(), 200);
    file.scalars("train", 200, {{"loss", -1}});
  }
  const Events resumed = read_events(folder.path() + name);
  CHECK(resumed.version == "brain.Event:2");
  REQUIRE(resumed.scalars.size() == 201);
  CHECK(resumed.scalars[199].step == 199);
  CHECK(resumed.scalars[200].value == -1);
}

TEST_CASE("events: a record that was cut short or damaged goes, with what follows it") {
  const ScratchFolder folder;
  const std::string path = folder.path() + name;
  {
    EventFile file(folder.path(), 0);
    for (std::int64_t step = 0; step < 10; ++step) file.scalars("train", step, {{"loss", 1}});
  }
  const std::string whole = slurp(path);
  const std::vector<std::uint8_t> bytes(whole.begin(), whole.end());
  const std::vector<EventRecord> records = event_records(bytes);
  REQUIRE(records.size() == 11);
  put(path, whole.substr(0, whole.size() - 3));
  { EventFile file(folder.path(), 100); }
  CHECK(steps_of(read_events(path), "train/loss").size() == 9);
  for (const std::size_t at : {records[5].begin, records[5].begin + 9, records[5].begin + 20, records[5].end - 1}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    put(path, damaged);
    { EventFile file(folder.path(), 100); }
    CHECK(steps_of(read_events(path), "train/loss").size() == 4);
  }
  put(path, "no events at all");
  { EventFile file(folder.path(), 100); }
  CHECK(read_events(path).version == "brain.Event:2");
}

TEST_CASE("events: a training run, interrupted and resumed, logs what its JSON lines log") {
  const TrainingData data;
  const Words val{"--val_json", data.val, "--do_val", "--epochs", "2"};
  REQUIRE(penumbra(data.train("run", val + Words{"--max_steps", "8"})).code == 0);
  REQUIRE(penumbra(data.resume("run", {"--max_steps", "12"})).code == 0);
  const Events events = read_events(data.at("run", name + 1));
  const auto lines = json_lines(slurp(data.at("run", "log/train.jsonl")));
  REQUIRE(lines.size() == 12);
  std::size_t seen = 0;
  for (const auto& line : lines) {
    const std::int64_t step = line["step"].GetInt64();
    for (const auto& member : line.GetObject()) {
      const std::string tag = std::string("train/") + member.name.GetString();
      if (tag == "train/epoch" || tag == "train/step" || member.value.IsNull()) continue;
      for (const Scalar& s : events.scalars) {
        if (s.step != step || s.tag != tag) continue;
        CHECK(s.value == static_cast<float>(member.value.GetDouble()));
        ++seen;
      }
    }
  }
  CHECK(seen > 12 * 5);
  std::size_t train = 0;
  for (const Scalar& s : events.scalars) train += s.tag.starts_with("train/");
  CHECK(train == seen);  // nothing twice
  const auto validations = json_lines(slurp(data.at("run", "log/val.jsonl")));
  REQUIRE(!validations.empty());
  for (const auto& line : validations) {
    std::size_t found = 0;
    for (const auto& member : line.GetObject())
      for (const Scalar& e : events.scalars)
        found += e.tag == std::string("val/") + member.name.GetString() && e.step == line["step"].GetInt64() - 1 &&
                 e.value == static_cast<float>(member.value.GetDouble());
    CHECK(found >= 5);
  }
}
