#include "data/pixel_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "data/encode.h"

namespace pen {
namespace {

namespace fs = std::filesystem;

// An entry: this header, the key's text, the pixels. Numbers are little-endian, as all machines are that this runs on.
struct Header {
  char magic[8] = {'P', 'E', 'N', 'P', 'I', 'X', '1', '\n'};
  std::uint32_t key_bytes = 0, height = 0, width = 0, unused = 0;
  std::uint64_t checksum = 0;  // of sizes, key and pixels
};
static_assert(sizeof(Header) == 32);

constexpr std::string_view kSuffix = ".pix";
constexpr std::time_t kAbandoned = 24 * 3600;  // seconds after which a file that was never renamed has no writer

std::uint64_t hash(const std::string& text, std::uint64_t h) {
  for (const char c : text) h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ull;
  return h ^ (h >> 29);
}

// Four lanes of xor and odd factor: a change of any one word changes its lane's sum for certain, and it runs at the
// speed of memory, where zlib's CRC would cost more than the crop.
std::uint64_t checksum(const Header& header, const std::uint8_t* bytes, std::size_t size) {
  constexpr std::uint64_t factor = 0x9e3779b97f4a7c15ull;
  std::uint64_t lanes[4] = {header.key_bytes, header.height, header.width, 4};
  std::size_t i = 0;
  for (; i + 32 <= size; i += 32)
    for (std::size_t k = 0; k < 4; ++k) {
      std::uint64_t word;
      std::memcpy(&word, bytes + i + 8 * k, 8);
      lanes[k] = (std::rotl(lanes[k], 31) ^ word) * factor;
    }
  for (; i < size; ++i) lanes[i % 4] = (std::rotl(lanes[i % 4], 31) ^ bytes[i]) * factor;
  std::uint64_t sum = size;
  for (const std::uint64_t lane : lanes) sum = (std::rotl(sum, 29) ^ lane ^ (lane >> 32)) * factor;
  return sum ^ (sum >> 32);
}

std::uint64_t pixel_bytes(const ImageView& v) {
  return std::uint64_t{3} * static_cast<unsigned>(v.height) * static_cast<unsigned>(v.width);
}

}  // namespace

FileIdentity identify(const std::string& path) {
  struct stat s {};
  PEN_CHECK_AS(data, ::stat(path.c_str(), &s) == 0, "cannot read '", path, "': ", std::strerror(errno));
  return {static_cast<std::uint64_t>(s.st_size),
          std::int64_t{s.st_mtim.tv_sec} * 1000000000 + std::int64_t{s.st_mtim.tv_nsec}};
}

struct PixelCache::State {
  PixelCacheOptions options;
  bool in_memory = false;

  mutable std::mutex mutex;
  std::unordered_map<std::string, Image> held;  // by key
  PixelCacheStats stats;
  bool full_told = false, corrupt_told = false, failed = false;

  // Everything that an entry's pixels depend on. Libraries that decode are not part of it: they decode alike.
  std::string key(const std::string& path, const FileIdentity& file) const {
    return str(path, "\n", file.size, " ", file.modified_ns, " ", options.edge, " ",
               options.decode == Decode::exact ? "exact" : "fast");
  }
  std::string file_of(const std::string& key) const {
    char name[40];
    std::snprintf(name, sizeof name, "%016llx%016llx",
                  static_cast<unsigned long long>(hash(key, 0xcbf29ce484222325ull)),
                  static_cast<unsigned long long>(hash(key, 0x9ae16a3b2f90404full)));
    return options.where + "/" + std::string(name, 2) + "/" + (name + 2) + std::string(kSuffix);
  }
  // Takes room for an entry; false: there is none.
  bool reserve(std::uint64_t bytes) {
    std::lock_guard lock(mutex);
    if (failed) return false;
    if (stats.bytes + bytes <= options.max_bytes) {
      stats.bytes += bytes;
      return true;
    }
    if (!full_told)
      log::info(str("the image cache '", options.where, "' is full (", stats.bytes >> 20, " of ",
                    options.max_bytes >> 20, " MiB): other images are decoded each time"));
    full_told = true;
    return false;
  }
  void count(bool hit) {
    std::lock_guard lock(mutex);
    ++(hit ? stats.hits : stats.misses);
  }
  void corrupt(const std::string& file) {
    std::lock_guard lock(mutex);
    ++stats.corrupt;
    if (!corrupt_told) log::warn(str("the image cache's entry '", file, "' is damaged and is made anew"));
    corrupt_told = true;
  }
  void survey();
  ImageView read(const std::string& file, const std::string& key, std::vector<std::uint8_t>& buffer);
  void write(const std::string& file, const std::string& key, const ImageView& pixels);
};

// Sums up what the folder holds, and removes what killed processes left half-written.
void PixelCache::State::survey() {
  const std::time_t now = std::time(nullptr);
  std::error_code error;
  for (fs::recursive_directory_iterator it(options.where, error), end; !error && it != end; it.increment(error)) {
    struct stat s {};
    if (::stat(it->path().c_str(), &s) != 0 || !S_ISREG(s.st_mode)) continue;
    const std::string name = it->path().filename().string();
    if (name.find(std::string(kSuffix) + ".tmp-") != std::string::npos && now - s.st_mtim.tv_sec > kAbandoned)
      ::unlink(it->path().c_str());
    else if (name.find(kSuffix) != std::string::npos)
      stats.bytes += static_cast<std::uint64_t>(s.st_size);
  }
  PEN_CHECK_AS(run, !error, "cannot read the image cache '", options.where, "': ", error.message());
}

ImageView PixelCache::State::read(const std::string& file, const std::string& key, std::vector<std::uint8_t>& buffer) {
  if (::access(file.c_str(), F_OK) != 0) return {};
  try {
    read_file(file, std::uint64_t{1} << 32, buffer);
  } catch (const Error&) {  // gone meanwhile, or unreadable: as good as not there
    return {};
  }
  Header header;
  bool good = buffer.size() >= sizeof header;
  if (good) {
    const Header want;
    std::memcpy(&header, buffer.data(), sizeof header);
    const std::uint64_t pixels = std::uint64_t{3} * header.height * header.width;
    good = std::memcmp(header.magic, want.magic, sizeof want.magic) == 0 && header.unused == 0 && header.height > 0 &&
           header.width > 0 && header.height <= (1u << 20) && header.width <= (1u << 20) &&
           buffer.size() == sizeof header + header.key_bytes + pixels;
  }
  if (!good) {
    corrupt(file);
    return {};
  }
  const char* text = reinterpret_cast<const char*>(buffer.data() + sizeof header);
  const std::string_view found(text, header.key_bytes);
  const std::uint8_t* pixels = buffer.data() + sizeof header + header.key_bytes;
  if (header.checksum != checksum(header, buffer.data() + sizeof header, buffer.size() - sizeof header)) {
    corrupt(file);
    return {};
  }
  if (found != key) return {};  // another image with the same hash
  return {pixels, static_cast<int>(header.height), static_cast<int>(header.width),
          std::ptrdiff_t{3} * static_cast<int>(header.width)};
}

void PixelCache::State::write(const std::string& file, const std::string& key, const ImageView& view) {
  Header header;
  header.key_bytes = static_cast<std::uint32_t>(key.size());
  header.height = static_cast<std::uint32_t>(view.height);
  header.width = static_cast<std::uint32_t>(view.width);
  const std::size_t size = static_cast<std::size_t>(pixel_bytes(view));
  std::vector<std::uint8_t> bytes(sizeof header + key.size() + size);
  std::memcpy(bytes.data() + sizeof header, key.data(), key.size());
  std::memcpy(bytes.data() + sizeof header + key.size(), view.data, size);
  header.checksum = checksum(header, bytes.data() + sizeof header, bytes.size() - sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  // threads of one process may write the same entry at the same time
  static std::atomic<std::uint64_t> number{0};
  const std::string aside = str(file, ".tmp-", ::getpid(), "-", number++);
  try {
    make_folders(fs::path(file).parent_path().string());
    write_picture_file(aside, bytes);
    if (::rename(aside.c_str(), file.c_str()) != 0) {
      const int code = errno;
      ::unlink(aside.c_str());
      fail(ErrorKind::run, str("cannot write '", file, "': ", std::strerror(code)));
    }
  } catch (const Error& error) {
    std::lock_guard lock(mutex);
    if (!failed) log::warn(str("nothing more is written to the image cache: ", error.what()));
    failed = true;
    return;
  }
  std::lock_guard lock(mutex);
  ++stats.stored;
}

PixelCache::PixelCache(const PixelCacheOptions& options) : state_(std::make_unique<State>()) {
  PEN_CHECK_AS(usage, !options.where.empty(), "an image cache needs a place: ram, or a folder");
  PEN_CHECK_AS(usage, options.edge >= 1 && options.edge <= 16384, "an image cache of ", options.edge,
               " pixels is not in 1..16384");
  state_->options = options;
  state_->in_memory = options.where == "ram";
  if (state_->in_memory) return;
  make_folders(options.where);
  PEN_CHECK_AS(run, ::access(options.where.c_str(), R_OK | W_OK | X_OK) == 0, "cannot use the image cache '",
               options.where, "': ", std::strerror(errno));
  state_->survey();
}

PixelCache::~PixelCache() = default;

ImageView PixelCache::find(const std::string& path, const FileIdentity& file, std::vector<std::uint8_t>& buffer) {
  State& s = *state_;
  const std::string key = s.key(path, file);
  if (!s.in_memory) {
    const ImageView view = s.read(s.file_of(key), key, buffer);
    s.count(view.data != nullptr);
    return view;
  }
  std::lock_guard lock(s.mutex);
  const auto at = s.held.find(key);
  ++(at != s.held.end() ? s.stats.hits : s.stats.misses);
  return at != s.held.end() ? ImageView(at->second) : ImageView();
}

void PixelCache::store(const std::string& path, const FileIdentity& file, const ImageView& view) {
  State& s = *state_;
  const std::uint64_t size = pixel_bytes(view);
  PEN_CHECK(view.height > 0 && view.stride == std::ptrdiff_t{3} * view.width, "PixelCache: rows with gaps");
  std::string key = s.key(path, file);
  if (!s.reserve(sizeof(Header) + key.size() + size)) return;
  if (!s.in_memory) return s.write(s.file_of(key), key, view);
  Image copy{view.height, view.width, std::vector<std::uint8_t>(view.data, view.data + size)};
  std::lock_guard lock(s.mutex);
  // Another thread may have stored it meanwhile: its entry stays, others may be reading it.
  if (s.held.try_emplace(std::move(key), std::move(copy)).second) ++s.stats.stored;
}

const PixelCacheOptions& PixelCache::options() const { return state_->options; }

PixelCacheStats PixelCache::stats() const {
  std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace pen
