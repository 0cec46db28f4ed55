#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "base/check.h"

namespace pen {
namespace {

struct CloseGz {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

// zlib reads plain files as they are. Also reports a broken stream and a wrong check sum.
void read_exactly(gzFile file, const std::string& path, std::uint8_t* out, std::size_t bytes) {
  while (bytes > 0) {
    const int got = gzread(file, out, static_cast<unsigned>(std::min<std::size_t>(bytes, 1u << 20)));
    int code = Z_OK;
    const char* why = gzerror(file, &code);
    PEN_CHECK_AS(data, got >= 0, "'", path, "': ", why);
    PEN_CHECK_AS(data, got > 0, "'", path, "' is cut short (", bytes, " bytes are missing)");
    out += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

}  // namespace

IdxArray read_idx(const std::string& path, std::size_t dimensions, std::int64_t max_elements) {
  const std::unique_ptr<gzFile_s, CloseGz> file(gzopen(path.c_str(), "rb"));
  if (!file)
    fail(ErrorKind::data, str("cannot open '", path, "'"),
         "the files come with Debian's package: apt-get install dataset-fashion-mnist");
  const auto big_endian = [&] {
    std::uint8_t b[4];
    read_exactly(file.get(), path, b, sizeof(b));
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
  };
  const std::uint32_t magic = big_endian();
  // 0x08: unsigned bytes
  PEN_CHECK_AS(data, magic == (0x800u | static_cast<std::uint32_t>(dimensions)), "'", path,
               "' is not an IDX file of bytes with ", dimensions, " dimensions (it starts with ", magic, ")");
  IdxArray out;
  std::int64_t total = 1;
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::int64_t n = big_endian();
    PEN_CHECK_AS(data, n >= 1 && n <= max_elements / total, "'", path, "': dimension ", d, " is ", n,
                 ", which is 0 or more than is allowed here");
    out.shape.push_back(n);
    total *= n;
  }
  out.data.resize(static_cast<std::size_t>(total));
  read_exactly(file.get(), path, out.data.data(), out.data.size());
  std::uint8_t extra = 0;
  const int more = gzread(file.get(), &extra, 1);
  PEN_CHECK_AS(data, more == 0, "'", path, more < 0 ? "' is damaged at its end" : "' has bytes behind its end");
  return out;
}

}  // namespace pen
