#include "models/torch/zip.h"

#include <zlib.h>

#include <algorithm>
#include <unordered_set>

#include "models/torch/text.h"

namespace pen::torch {
namespace {

constexpr const char* directory_name = "zip directory";

struct Directory {
  std::uint64_t begin = 0, size = 0, count = 0;
};

[[noreturn]] void refuse(const Source& source, std::uint64_t at, const std::string& reason) {
  refuse_at(source.name(), directory_name, at, reason);
}

// Where the directory is: the end record, and the ZIP64 end record if there is one. Both must say the same.
Directory find_directory(const Source& source) {
  constexpr std::uint64_t end_size = 22, locator_size = 20, end64_size = 56;
  if (source.size() < end_size) refuse(source, source.size(), "the file ends before a zip directory; it is incomplete");
  const std::uint64_t end_at = source.size() - end_size;
  Cursor end(source, directory_name, end_at, source.size());
  if (end.little<std::uint32_t>() != 0x06054b50)
    refuse(
        source, source.size(),
        "the file does not end with a zip directory; it is incomplete, or has a comment, which PyTorch never writes");
  const auto disk = end.little<std::uint16_t>(), first_disk = end.little<std::uint16_t>();
  const auto here = end.little<std::uint16_t>(), count = end.little<std::uint16_t>();
  const auto size = end.little<std::uint32_t>(), begin = end.little<std::uint32_t>();
  const auto comment = end.little<std::uint16_t>();
  if (disk != 0 || first_disk != 0 || here != count || comment != 0)
    refuse(source, end_at, "an archive in several parts, or with a comment");

  Directory out{begin, size, count};
  std::uint64_t limit = end_at;
  bool large = false;
  if (end_at >= locator_size) {
    Cursor locator(source, directory_name, end_at - locator_size, end_at);
    large = locator.little<std::uint32_t>() == 0x07064b50;
    if (large) {
      const auto part = locator.little<std::uint32_t>();
      const auto at = locator.little<std::uint64_t>();
      const auto parts = locator.little<std::uint32_t>();
      if (part != 0 || parts != 1) refuse(source, end_at - locator_size, "an archive in several parts");
      if (end_at - locator_size < end64_size || at != end_at - locator_size - end64_size)
        refuse(source, end_at - locator_size, str("the ZIP64 record is said to be at byte ", at));
      Cursor record(source, directory_name, at, end_at);
      const auto signature = record.little<std::uint32_t>();
      const auto length = record.little<std::uint64_t>();
      record.skip(4, "versions");
      const auto parts64 = record.little<std::uint64_t>();
      const auto here64 = record.little<std::uint64_t>();
      const Directory wide{0, 0, record.little<std::uint64_t>()};
      out.count = wide.count;
      out.size = record.little<std::uint64_t>();
      out.begin = record.little<std::uint64_t>();
      if (signature != 0x06064b50 || length != end64_size - 12 || parts64 != 0 || here64 != out.count)
        refuse(source, at, "a broken ZIP64 record");
      const bool agrees = (count == 0xffff || count == out.count) && (size == 0xffffffff || size == out.size) &&
                          (begin == 0xffffffff || begin == out.begin);
      if (!agrees) refuse(source, at, "the ZIP64 record and the end record contradict each other");
      limit = at;
    }
  }
  if (!large && (count == 0xffff || size == 0xffffffff || begin == 0xffffffff))
    refuse(source, end_at, "fields that ask for a ZIP64 record, which is missing");
  if (out.begin > limit || out.size != limit - out.begin)
    refuse(source, limit,
           str("the directory is said to be ", out.size, " bytes at byte ", out.begin, ", but it has to end at byte ",
               limit));
  return out;
}

// The 64-bit values of fields that are all ones, from the extra field, in their fixed order.
void read_wide(Cursor& in, std::uint64_t length, std::uint64_t& size, std::uint64_t& packed, std::uint64_t& local) {
  const std::uint64_t begin = in.at();
  bool found = false;
  const bool wanted = size == 0xffffffff || packed == 0xffffffff || local == 0xffffffff;
  while (length >= 4) {
    const auto id = in.little<std::uint16_t>();
    std::uint64_t rest = in.little<std::uint16_t>();
    if (rest > length - 4) in.refuse(in.at(), "an extra field that is longer than its entry says");
    length -= 4 + rest;
    if (id == 1 && wanted && !found) {
      found = true;
      for (std::uint64_t* field : {&size, &packed, &local}) {
        if (*field != 0xffffffff) continue;
        if (rest < 8) in.refuse(begin, "a ZIP64 field is missing");
        *field = in.little<std::uint64_t>();
        rest -= 8;
      }
    }
    in.skip(rest, "an extra field");
  }
  in.skip(length, "an extra field");
  if (wanted && !found) in.refuse(begin, "fields that ask for ZIP64 sizes, which are missing");
}

struct Record {
  ZipEntry entry;
  std::uint64_t local = 0;  // of its header
  std::uint16_t flags = 0;
};

Record read_record(Cursor& in, Budget& budget) {
  const std::uint64_t at = in.at();
  in.need(46, "a directory entry");
  if (in.little<std::uint32_t>() != 0x02014b50) in.refuse(at, "there should be a directory entry");
  in.skip(4, "versions");
  Record out;
  out.flags = in.little<std::uint16_t>();
  const auto method = in.little<std::uint16_t>();
  in.skip(4, "a date");
  out.entry.crc = in.little<std::uint32_t>();
  std::uint64_t packed = in.little<std::uint32_t>();
  out.entry.size = in.little<std::uint32_t>();
  const std::uint64_t name = in.little<std::uint16_t>(), extra = in.little<std::uint16_t>();
  const std::uint64_t comment = in.little<std::uint16_t>();
  const auto part = in.little<std::uint16_t>();
  in.skip(6, "attributes");
  out.local = in.little<std::uint32_t>();
  in.need(name + extra + comment, "a directory entry");
  if (!budget.charge(sizeof(Record) + 2 * sizeof(ZipEntry) + 4 * name + 64))
    in.refuse(at, str("the directory needs more than ", budget.cap(), " bytes of memory"));
  out.entry.name.resize(name);
  in.bytes(out.entry.name.data(), name);
  const std::string shown = "entry '" + printable(out.entry.name) + "' ";
  read_wide(in, extra, out.entry.size, packed, out.local);
  in.skip(comment, "a comment");
  if (name == 0 || !valid_utf8(out.entry.name) || out.entry.name.find('\0') != std::string::npos)
    in.refuse(at, "an entry whose name is empty or no text");
  if (out.flags & 1) in.refuse(at, shown + "is encrypted");
  if (method != 0)
    in.refuse(at, shown + "is compressed, which PyTorch never does; unpack and save the file again with torch.save");
  if (packed != out.entry.size) in.refuse(at, str(shown, "is stored, but ", packed, " bytes for ", out.entry.size));
  if (part != 0) in.refuse(at, shown + "is in another part of the archive");
  return out;
}

// The payload begins behind the local header, whose extra field has a length of its own.
void locate(const Source& source, Record& r, std::uint64_t limit) {
  const std::string& name = r.entry.name;
  if (r.local > limit || limit - r.local < 30)
    refuse(source, r.local, "entry '" + printable(name) + "' begins outside the file's entries");
  Cursor in(source, printable(name), r.local, limit);
  if (in.little<std::uint32_t>() != 0x04034b50) in.refuse(r.local, "there should be a local header");
  in.skip(2, "a version");
  const auto flags = in.little<std::uint16_t>();
  const auto method = in.little<std::uint16_t>();
  in.skip(4, "a date");
  const auto crc = in.little<std::uint32_t>();
  const auto packed = in.little<std::uint32_t>(), size = in.little<std::uint32_t>();
  const std::uint64_t length = in.little<std::uint16_t>(), extra = in.little<std::uint16_t>();
  in.need(length + extra, "a local header");
  std::string local(length, '\0');
  in.bytes(local.data(), length);
  in.skip(extra, "an extra field");
  if (local != name) in.refuse(r.local, "the local header names '" + printable(local) + "'");
  if (method != 0 || flags != r.flags) in.refuse(r.local, "the local header contradicts the directory");
  // With bit 3 crc and sizes stand behind the payload and are 0 here.
  const auto absent = [](std::uint32_t v) { return v == 0 || v == 0xffffffff; };
  const bool later = (flags & 8) && crc == 0 && absent(packed) && absent(size);
  const bool equal = crc == r.entry.crc && (size == r.entry.size || size == 0xffffffff) &&
                     (packed == r.entry.size || packed == 0xffffffff);
  if (!later && !equal) in.refuse(r.local, "the local header has other sizes than the directory");
  r.entry.at = in.at();
  in.need(r.entry.size, "the entry's data");
}

}  // namespace

std::vector<ZipEntry> read_zip_directory(const Source& source, Budget& budget) {
  const Directory d = find_directory(source);
  constexpr std::uint64_t smallest = 46;
  if (d.count > d.size / smallest)
    refuse(source, d.begin, str(d.count, " entries are said to stand in ", d.size, " bytes"));
  Cursor in(source, directory_name, d.begin, d.begin + d.size);
  std::vector<Record> records;
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < d.count; ++i) {
    const std::uint64_t at = in.at();
    records.push_back(read_record(in, budget));
    if (!names.insert(records.back().entry.name).second)
      in.refuse(at, "entry '" + printable(records.back().entry.name) + "' stands in the directory twice");
  }
  if (in.left() != 0) in.refuse(in.at(), str(in.left(), " bytes after the last of ", d.count, " entries"));
  std::vector<ZipEntry> out;
  for (Record& r : records) {
    locate(source, r, d.begin);
    out.push_back(r.entry);
  }
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.local < b.local; });
  for (std::size_t i = 1; i < records.size(); ++i) {
    const ZipEntry& before = records[i - 1].entry;
    if (before.at + before.size > records[i].local)
      refuse(source, records[i].local,
             "entry '" + printable(records[i].entry.name) + "' overlaps '" + printable(before.name) + "'");
  }
  return out;
}

std::uint32_t crc_of(const Source& source, std::uint64_t at, std::uint64_t size) {
  std::vector<std::uint8_t> piece(static_cast<std::size_t>(std::min<std::uint64_t>(size, 1 << 18)));
  uLong crc = ::crc32(0, nullptr, 0);
  while (size > 0) {
    const std::uint64_t n = std::min<std::uint64_t>(size, piece.size());
    source.read(at, piece.data(), n);
    crc = ::crc32(crc, piece.data(), static_cast<uInt>(n));
    at += n;
    size -= n;
  }
  return static_cast<std::uint32_t>(crc);
}

}  // namespace pen::torch
