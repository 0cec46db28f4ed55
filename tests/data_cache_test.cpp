// The image cache and fast decoding: what comes out is a function of files and options, whatever is cached.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "data/encode.h"
#include "data/loader.h"
#include "tests/golden.h"
#include "tests/scratch.h"

using namespace pen;
namespace fs = std::filesystem;

namespace {

std::vector<std::uint8_t> smooth_pixels(int height, int width, std::uint64_t seed) {
  Rng rng(seed);
  const double fx = rng.uniform(0.01, 0.05), fy = rng.uniform(0.01, 0.05);
  std::vector<std::uint8_t> rgb;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        rgb.push_back(static_cast<std::uint8_t>(127 + 90 * std::sin(fx * x + c) * std::cos(fy * y - c) +
                                                static_cast<double>(rng.below(21)) - 10));
  return rgb;
}

// A list of images of several sizes and both orientations; one is smaller than the cache's edge.
class Files : public SampleSource {
 public:
  explicit Files(const test::ScratchFolder& scratch) {
    const int sizes[][2] = {{300, 400}, {420, 310}, {90, 130}, {256, 341}, {512, 300}, {301, 301}};
    for (const auto& [height, width] : sizes) {
      paths_.push_back(scratch / (std::to_string(paths_.size()) + ".jpg"));
      write_jpeg(paths_.back(), height, width, smooth_pixels(height, width, paths_.size()), 90);
    }
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(paths_.size()); }
  std::string path(std::int64_t i) const override { return paths_[static_cast<std::size_t>(i)]; }
  std::int64_t label(std::int64_t i) const override { return i; }

 private:
  std::vector<std::string> paths_;
};

std::shared_ptr<PixelCache> cache_in(const std::string& where, std::uint64_t most = 1u << 30) {
  PixelCacheOptions options;
  options.where = where;
  options.max_bytes = most;
  return std::make_shared<PixelCache>(options);
}

// All images of three epochs, one after the other.
std::vector<float> epochs(const SampleSource& files, const Transform& transform, std::shared_ptr<PixelCache> cache,
                          int workers = 2, Decode decode = Decode::exact) {
  LoaderOptions o;
  o.batch_size = 4;
  o.workers = workers;
  o.shuffle = true;
  o.seed = 3;
  o.cache = std::move(cache);
  o.decode = decode;
  Loader loader(files, transform, o);
  std::vector<float> out;
  for (int epoch = 0; epoch < 3; ++epoch) {
    loader.start_epoch(epoch);
    while (const BatchPtr batch = loader.next())
      out.insert(out.end(), batch->images.begin(), batch->images.begin() + batch->size * batch->side * batch->side * 3);
  }
  return out;
}

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) found.push_back(entry.path().string());
  return found;
}

}  // namespace

TEST_CASE("image cache: memory, a new folder and a filled one give the same, whatever the number of workers") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  const Transform crops = Transform::train(224);
  const auto memory = cache_in("ram");
  const std::vector<float> want = epochs(files, crops, memory, 0);
  CHECK(memory->stats().stored == 6);
  CHECK(memory->stats().misses == 6);
  CHECK(memory->stats().hits == 12);
  const std::string folder = scratch / "cache";
  const auto first = cache_in(folder);
  CHECK(epochs(files, crops, first, 3) == want);
  CHECK(first->stats().stored == 6);
  const auto second = cache_in(folder);
  CHECK(second->stats().bytes > 0);
  CHECK(epochs(files, crops, second, 1) == want);
  CHECK(second->stats().misses == 0);
  // one that holds nothing, and one that holds a part
  CHECK(epochs(files, crops, cache_in("ram", 1), 2) == want);
  const auto part = cache_in("ram", 700000);
  CHECK(epochs(files, crops, part, 2) == want);
  CHECK(part->stats().bytes <= 700000);
  CHECK(part->stats().stored >= 1);
  CHECK(part->stats().stored < 6);
}

TEST_CASE("image cache: the crops are those of a data set that was resized beforehand") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  for (int i = 0; i < 6; ++i) {
    CAPTURE(i);
    const Image image = read_image(files.path(i));
    const bool small = std::min(image.height, image.width) <= 256;
    const ImageSize size =
        small ? ImageSize{image.height, image.width} : resized_shorter_side({image.height, image.width}, 256);
    const Image resized = resize(image, size.height, size.width);
    const std::vector<std::uint8_t> png = encode_png(size.height, size.width, 3, resized.rgb);
    ImagePipeline plain, cached(PixelSource{{}, Decode::exact, cache_in("ram")});
    for (int k = 0; k < 4; ++k) {
      std::vector<float> want(224 * 224 * 3), got(want.size());
      Rng one = augmentation_rng(1, k, i), two = augmentation_rng(1, k, i);
      plain.load(png, "resized", Transform::train(224), one, want.data());
      cached.load(files.path(i), Transform::train(224), two, got.data());
      CHECK(got == want);
    }
  }
}

TEST_CASE("image cache: the validation transform gives the pixels that it gives without one") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  CHECK(epochs(files, Transform::val(224), cache_in("ram")) == epochs(files, Transform::val(224), nullptr));
  CHECK(epochs(files, Transform::train(224), cache_in("ram")) != epochs(files, Transform::train(224), nullptr));
}

TEST_CASE("image cache: damaged entries are noticed and made anew; a changed file is another one") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  const Transform crops = Transform::train(224);
  const std::string folder = scratch / "cache";
  const std::vector<float> want = epochs(files, crops, cache_in(folder));
  const std::vector<std::string> found = entries(folder);
  REQUIRE(found.size() == 6);
  Rng rng(9);
  for (const std::string& file : found) {
    std::vector<std::uint8_t> bytes = read_file(file, 1u << 24);
    for (int kind = 0; kind < 4; ++kind) {
      std::vector<std::uint8_t> bad = bytes;
      if (kind == 0) bad[rng.below(bad.size())] ^= static_cast<std::uint8_t>(1 + rng.below(255));
      if (kind == 1) bad.resize(rng.below(bad.size()));
      if (kind == 2) bad.push_back(0);
      if (kind == 3) std::fill(bad.begin() + 8, bad.begin() + 32, std::uint8_t{0xff});
      std::ofstream(file, std::ios::binary | std::ios::trunc)
          .write(reinterpret_cast<const char*>(bad.data()), static_cast<std::streamsize>(bad.size()));
      const auto cache = cache_in(folder);
      CHECK(epochs(files, crops, cache) == want);
      CHECK(cache->stats().corrupt == 1);
      CHECK(cache->stats().stored == 1);
      CHECK(read_file(file, 1u << 24) == bytes);
    }
  }
  // the same name with other pixels
  write_jpeg(files.path(0), 320, 400, smooth_pixels(320, 400, 77), 90);
  const auto cache = cache_in(folder);
  const std::vector<float> other = epochs(files, crops, cache);
  CHECK(other != want);
  CHECK(cache->stats().stored == 1);
  CHECK(other == epochs(files, crops, cache_in("ram")));
}

TEST_CASE("image cache: two processes and their threads fill one folder") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  const Transform crops = Transform::train(224);
  const std::vector<float> want = epochs(files, crops, cache_in("ram"), 0);
  const std::string folder = scratch / "cache";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(epochs(files, crops, cache_in(folder), 0) == want ? 0 : 1);
  const bool equal = epochs(files, crops, cache_in(folder), 0) == want;
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(equal);
  CHECK(status == 0);
  CHECK(entries(folder).size() == 6);  // and nothing half-written
  // the same image by many threads at once
  const auto cache = cache_in(scratch / "threads");
  const FileIdentity file = identify(files.path(0));
  const Image image = read_image(files.path(0));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { cache->store(files.path(0), file, image); });
  for (std::thread& t : threads) t.join();
  std::vector<std::uint8_t> buffer;
  const ImageView view = cache->find(files.path(0), file, buffer);
  REQUIRE(view.data);
  CHECK(std::memcmp(view.data, image.rgb.data(), image.rgb.size()) == 0);
}

TEST_CASE("image cache: bad files stay bad, impossible places are refused") {
  const test::ScratchFolder scratch;
  const std::string cut = scratch / "cut.jpg";
  write_jpeg(cut, 300, 300, smooth_pixels(300, 300, 1), 90);
  fs::resize_file(cut, fs::file_size(cut) / 2);
  const auto cache = cache_in("ram");
  ImagePipeline pipeline(PixelSource{{}, Decode::exact, cache});
  std::vector<float> out(224 * 224 * 3);
  Rng rng(1);
  for (int i = 0; i < 2; ++i)
    test::check_error(ErrorKind::data, {"cut.jpg", "truncated"},
                      [&] { pipeline.load(cut, Transform::train(224), rng, out.data()); });
  CHECK(cache->stats().stored == 0);
  test::check_error(ErrorKind::data, {"missing.jpg"},
                    [&] { pipeline.load(scratch / "missing.jpg", Transform::train(224), rng, out.data()); });
  test::check_error(ErrorKind::run, {"cut.jpg"}, [&] { cache_in(cut + "/below"); });
  test::check_error(ErrorKind::usage, {"ram, or a folder"}, [] { cache_in(""); });
}

// Bounds on smooth pictures with a little noise, in 8-bit steps; where nothing is shrunk by two the pixels are equal.
TEST_CASE("fast decoding: close to the exact pixels, equal where it changes nothing") {
  ImagePipeline exact, fast(PixelSource{{}, Decode::fast, nullptr});
  for (const int factor : {1, 2, 4, 8}) {
    CAPTURE(factor);
    for (int i = 0; i < 12; ++i) {
      const int height = 64 * factor + 5 * i, width = 64 * factor + 3 * i + 1;
      const std::vector<std::uint8_t> jpeg =
          encode_jpeg(height, width, smooth_pixels(height, width, static_cast<std::uint64_t>(i)), 90);
      const Transform t = i % 2 ? Transform::score(64, false) : Transform::train(64);
      Rng one = augmentation_rng(4, factor, i), two = augmentation_rng(4, factor, i);
      const Image a = exact.load_pixels(jpeg, "a", t, one), b = fast.load_pixels(jpeg, "a", t, two);
      CHECK(exact.placement().crop == fast.placement().crop);
      double sum = 0;
      int most = 0;
      for (std::size_t k = 0; k < a.rgb.size(); ++k) {
        const int difference = std::abs(int{a.rgb[k]} - int{b.rgb[k]});
        sum += difference;
        most = std::max(most, difference);
      }
      const double mean = sum / static_cast<double>(a.rgb.size());
      if (factor == 1) CHECK(most == 0);
      CHECK(mean < 2.5);
      CHECK(most < 32);
    }
  }
  // of a real photograph
  const std::vector<std::uint8_t> photo = read_file(test::golden_path("images/photo_420.JPEG"), 1u << 24);
  Rng rng(1);
  const Image a = exact.load_pixels(photo, "photo", Transform::score(64, true), rng);
  const Image b = fast.load_pixels(photo, "photo", Transform::score(64, true), rng);
  CHECK(a.rgb != b.rgb);
  double sum = 0;
  for (std::size_t k = 0; k < a.rgb.size(); ++k) sum += std::abs(int{a.rgb[k]} - int{b.rgb[k]});
  MESSAGE("mean difference of a photograph at 64x64: ", sum / static_cast<double>(a.rgb.size()));
  CHECK(sum / static_cast<double>(a.rgb.size()) < 4);
}

TEST_CASE("fast decoding with a cache: entries of their own") {
  const test::ScratchFolder scratch;
  const Files files(scratch);
  PixelCacheOptions options;
  options.where = scratch / "cache";
  options.edge = 64;
  options.decode = Decode::fast;
  const auto fast = std::make_shared<PixelCache>(options);
  const std::vector<float> a = epochs(files, Transform::train(56), fast, 2, Decode::fast);
  options.decode = Decode::exact;
  const auto exact = std::make_shared<PixelCache>(options);
  const std::vector<float> b = epochs(files, Transform::train(56), exact, 2);
  CHECK(exact->stats().stored == 6);
  CHECK(a != b);
  test::check_error(ErrorKind::run, {"another way of decoding"}, [&] {
    ImagePipeline(PixelSource{{}, Decode::fast, exact});
  });
}
