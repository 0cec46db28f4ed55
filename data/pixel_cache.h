// Decoded images kept between epochs and runs: in memory, or as files in a folder that several processes may share.
//
// What is kept of an image is its Resize(edge): Pillow's bilinear resize of the whole image to a shorter side of
// `edge`, 8 bits a channel; an image whose shorter side is `edge` or less is kept as it is. Transforms then start from
// that image in place of the file's. The validation transform, whose first step is that very resize, gives the same
// pixels; random crops are those of a data set that was resized to `edge` beforehand, which is another protocol than
// crops of the full images (docs/loader.md, protocol `resized`).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/image.h"

namespace pen {

struct PixelCacheOptions {
  std::string where;                                  // "ram", or a folder
  int edge = 256;                                     // shorter side of what is kept, in pixels
  std::uint64_t max_bytes = std::uint64_t{32} << 30;  // of pixels and headers; what does not fit is decoded each time
  Decode decode = Decode::exact;                      // part of an entry's key
};

// A file as it is now. Entries belong to a path with this size and time of modification.
struct FileIdentity {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};
// An unreadable path: an Error of kind data.
FileIdentity identify(const std::string& path);

struct PixelCacheStats {
  std::int64_t hits = 0, misses = 0, stored = 0, corrupt = 0;
  std::uint64_t bytes = 0;  // held, with what a folder held at the start
};

// Safe to use from several threads. A folder is safe to use from several processes: entries appear whole (written
// aside, then renamed) and are checked when they are read (key, size, checksum); one that is not whole is a miss, is
// reported once and written anew. The limit holds for what a process found in the folder and what it added: processes
// that fill one folder at the same time do not see each other's additions.
class PixelCache {
 public:
  // Makes the folder and sums up what it holds (entries in other formats or of other options count too).
  explicit PixelCache(const PixelCacheOptions& options);
  ~PixelCache();
  PixelCache(const PixelCache&) = delete;
  PixelCache& operator=(const PixelCache&) = delete;

  // The pixels kept for a file, or an empty view. They lie in memory that the cache holds until its end, or in
  // `buffer`.
  ImageView find(const std::string& path, const FileIdentity& file, std::vector<std::uint8_t>& buffer);
  // Keeps pixels (rows without gaps) while there is room. A folder that cannot be written is reported once and not
  // written any more: the run goes on.
  void store(const std::string& path, const FileIdentity& file, const ImageView& pixels);

  const PixelCacheOptions& options() const;
  PixelCacheStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pen
