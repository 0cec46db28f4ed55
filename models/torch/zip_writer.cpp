#include "models/torch/zip_writer.h"

#include <zlib.h>

#include "base/check.h"

namespace pen::torch {
namespace {

constexpr std::uint64_t alignment = 64;
constexpr std::uint16_t flags = 0x0808;  // sizes behind the data, UTF-8

class Record {
 public:
  Record& u16(std::uint64_t v) { return number(v, 2); }
  Record& u32(std::uint64_t v) { return number(v, 4); }
  Record& u64(std::uint64_t v) { return number(v, 8); }
  Record& text(const std::string& s) {
    bytes += s;
    return *this;
  }
  std::string bytes;

 private:
  Record& number(std::uint64_t v, int n) {
    for (int i = 0; i < n; ++i) bytes += static_cast<char>(v >> 8 * i);
    return *this;
  }
};

}  // namespace

void ZipWriter::raw(const std::string& bytes) {
  file_.write(bytes);
  at_ += bytes.size();
}

void ZipWriter::begin(const std::string& name, std::uint64_t size) {
  const bool wide = size >= wide_from_;
  Record extra;
  if (wide) extra.u16(1).u16(16).u64(0).u64(0);  // says that the sizes behind the data have 64 bits
  const std::uint64_t before = at_ + 30 + name.size() + extra.bytes.size() + 4;
  const std::uint64_t padding = (alignment - before % alignment) % alignment;
  extra.u16(0x4246).u16(padding).text(std::string(padding, 'Z'));  // "FB", as PyTorch pads
  entries_.push_back({name, at_, size, size, static_cast<std::uint32_t>(::crc32(0, nullptr, 0))});
  raw(Record()
          .u32(0x04034b50)
          .u16(wide ? 45 : 0)
          .u16(flags)
          .u16(0)  // stored
          .u32(0)  // no date
          .u32(0)  // crc and sizes come behind the data
          .u32(wide ? 0xffffffff : 0)
          .u32(wide ? 0xffffffff : 0)
          .u16(name.size())
          .u16(extra.bytes.size())
          .text(name)
          .text(extra.bytes)
          .bytes);
}

void ZipWriter::write(const void* data, std::size_t n) {
  Entry& e = entries_.back();
  PEN_CHECK(n <= e.left, "zip: '", e.name, "' gets more than its ", e.size, " bytes");
  e.left -= n;
  const auto* bytes = static_cast<const Bytef*>(data);
  for (std::size_t done = 0; done < n;) {
    const auto part = static_cast<uInt>(std::min<std::size_t>(n - done, 1u << 30));
    e.crc = static_cast<std::uint32_t>(::crc32(e.crc, bytes + done, part));
    done += part;
  }
  file_.write(data, n);
  at_ += n;
}

void ZipWriter::end() {
  const Entry& e = entries_.back();
  PEN_CHECK(e.left == 0, "zip: '", e.name, "' lacks ", e.left, " of its ", e.size, " bytes");
  Record r;
  r.u32(0x08074b50).u32(e.crc);
  if (e.size >= wide_from_)
    r.u64(e.size).u64(e.size);
  else
    r.u32(e.size).u32(e.size);
  raw(r.bytes);
}

void ZipWriter::add(const std::string& name, std::string_view data) {
  begin(name, data.size());
  write(data.data(), data.size());
  end();
}

void ZipWriter::finish() {
  const std::uint64_t start = at_;
  for (const Entry& e : entries_) {
    const bool wide_size = e.size >= wide_from_, wide_place = e.at >= wide_from_;
    Record extra;
    if (wide_size || wide_place) {
      extra.u16(1).u16((wide_size ? 16 : 0) + (wide_place ? 8 : 0));
      if (wide_size) extra.u64(e.size).u64(e.size);
      if (wide_place) extra.u64(e.at);
    }
    raw(Record()
            .u32(0x02014b50)
            .u16(0)
            .u16(wide_size || wide_place ? 45 : 0)
            .u16(flags)
            .u16(0)
            .u32(0)
            .u32(e.crc)
            .u32(wide_size ? 0xffffffff : e.size)
            .u32(wide_size ? 0xffffffff : e.size)
            .u16(e.name.size())
            .u16(extra.bytes.size())
            .u16(0)
            .u16(0)
            .u16(0)
            .u32(0)
            .u32(wide_place ? 0xffffffff : e.at)
            .text(e.name)
            .text(extra.bytes)
            .bytes);
  }
  const std::uint64_t directory = at_ - start, count = entries_.size(), here = at_;
  const auto narrow = [](std::uint64_t v, std::uint64_t top) { return v < top ? v : top; };
  raw(Record()
          .u32(0x06064b50)
          .u64(44)
          .u16(0x031e)
          .u16(45)
          .u32(0)
          .u32(0)
          .u64(count)
          .u64(count)
          .u64(directory)
          .u64(start)
          .bytes);
  raw(Record().u32(0x07064b50).u32(0).u64(here).u32(1).bytes);
  raw(Record()
          .u32(0x06054b50)
          .u16(0)
          .u16(0)
          .u16(narrow(count, 0xffff))
          .u16(narrow(count, 0xffff))
          .u32(narrow(directory, 0xffffffff))
          .u32(narrow(start, 0xffffffff))
          .u16(0)
          .bytes);
}

}  // namespace pen::torch
