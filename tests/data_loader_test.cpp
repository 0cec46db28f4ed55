// The loader: its order and draws depend on seed, epoch and sample alone; bad files; ends of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "data/load_benchmark.h"
#include "data/loader.h"
#include "tests/scratch.h"

using namespace pen;

namespace {

// Small images on disk, each of its own colours and size; some paths may be replaced by bad ones.
class Folder : public SampleSource {
 public:
  explicit Folder(int count) {
    for (int i = 0; i < count; ++i) {
      const int width = 9 + i % 5, height = 8 + i % 3;
      std::string pixels;
      for (int k = 0; k < width * height * 3; ++k) pixels += static_cast<char>(k * 7 + i * 31);
      paths.push_back(folder_ / ("image" + std::to_string(i) + ".ppm"));
      test::put(paths.back(), "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\n" + pixels);
    }
  }
  void spoil(std::initializer_list<int> which) {
    for (const int i : which) test::put(paths[static_cast<std::size_t>(i)], "P6 9 9 255\nshort");
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(paths.size()); }
  std::string path(std::int64_t i) const override { return paths[static_cast<std::size_t>(i)]; }
  std::int64_t label(std::int64_t i) const override { return 100 + i; }
  std::vector<std::string> paths;

 private:
  test::ScratchFolder folder_;
};

LoaderOptions options(int batch_size, int workers, std::uint64_t seed = 5) {
  LoaderOptions o;
  o.batch_size = batch_size;
  o.workers = workers;
  o.prefetch = 3;
  o.shuffle = true;
  o.seed = seed;
  return o;
}

struct Epoch {
  std::vector<std::int64_t> indices, labels, sizes, ends;
  std::vector<std::string> paths;
  std::vector<float> images;
};

void add(const Batch& b, Epoch& e) {
  e.sizes.push_back(b.size);
  e.ends.push_back(b.end);
  e.indices.insert(e.indices.end(), b.indices.begin(), b.indices.end());
  e.labels.insert(e.labels.end(), b.labels.begin(), b.labels.end());
  e.paths.insert(e.paths.end(), b.paths.begin(), b.paths.end());
  e.images.insert(e.images.end(), b.images.begin(), b.images.begin() + b.size * b.side * b.side * 3);
}

Epoch run(Loader& loader, std::int64_t epoch, std::int64_t start = 0) {
  Epoch e;
  loader.start_epoch(epoch, start);
  while (const BatchPtr b = loader.next()) add(*b, e);
  CHECK(loader.next() == nullptr);  // the end stays the end
  return e;
}

void check_same(const Epoch& a, const Epoch& b) {
  CHECK(a.indices == b.indices);
  CHECK(a.labels == b.labels);
  CHECK(a.paths == b.paths);
  CHECK(a.sizes == b.sizes);
  CHECK(a.ends == b.ends);
  CHECK(a.images == b.images);
}

}  // namespace

TEST_CASE("Loader: the number of workers and the prefetch change nothing") {
  const Folder folder(37);
  Loader alone(folder, Transform::train(12), options(5, 0));
  const Epoch want0 = run(alone, 0), want1 = run(alone, 1);
  CHECK(want0.indices.size() == 37);
  CHECK(want0.sizes == std::vector<std::int64_t>{5, 5, 5, 5, 5, 5, 5, 2});
  CHECK(want0.indices != want1.indices);
  for (const int workers : {1, 2, 7}) {
    for (const int prefetch : {1, 4}) {
      LoaderOptions o = options(5, workers);
      o.prefetch = prefetch;
      Loader loader(folder, Transform::train(12), o);
      check_same(run(loader, 0), want0);
      check_same(run(loader, 1), want1);
      check_same(run(loader, 0), want0);
    }
  }
}

TEST_CASE("Loader: every image once an epoch; labels, paths and pixels belong together") {
  const Folder folder(23);
  Loader loader(folder, Transform::score(8, false), options(4, 2));
  const Epoch e = run(loader, 3);
  std::vector<std::int64_t> sorted = e.indices;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < 23; ++i) CHECK(sorted[i] == static_cast<std::int64_t>(i));
  ImagePipeline pipeline;
  for (std::size_t i = 0; i < 23; ++i) {
    CHECK(e.labels[i] == 100 + e.indices[i]);
    CHECK(e.paths[i] == folder.path(e.indices[i]));
    std::vector<float> want(8 * 8 * 3);
    Rng rng(0);
    pipeline.load(e.paths[i], Transform::score(8, false), rng, want.data());
    CHECK(std::equal(want.begin(), want.end(), e.images.begin() + static_cast<std::ptrdiff_t>(i * want.size())));
  }
  LoaderOptions o = options(4, 2);
  o.shuffle = false;
  Loader plain(folder, Transform::score(8, false), o);
  const Epoch in_order = run(plain, 0);
  CHECK(std::is_sorted(in_order.indices.begin(), in_order.indices.end()));
}

TEST_CASE("Loader: seeds and epochs give other orders and other crops; the same sample in the same epoch the same") {
  const Folder folder(16);
  const Transform t = Transform::train(12);
  Loader a(folder, t, options(16, 2, 1)), b(folder, t, options(16, 2, 2));
  const Epoch a0 = run(a, 0), a1 = run(a, 1), b0 = run(b, 0);
  CHECK(a0.indices != a1.indices);
  CHECK(a0.indices != b0.indices);
  // one image, always at the same place of the order: only its draws change
  const Folder one(1);
  Loader c(one, t, options(1, 0, 1)), d(one, t, options(1, 0, 2));
  const Epoch c0 = run(c, 0);
  CHECK(c0.images != run(c, 1).images);
  CHECK(c0.images != run(d, 0).images);
  CHECK(c0.images == run(c, 0).images);
  // the draws go by the sample's index, not by its place in the order
  LoaderOptions sorted = options(16, 0, 1);
  sorted.shuffle = false;
  Loader e(folder, t, sorted);
  const Epoch e0 = run(e, 0);
  const std::ptrdiff_t n = 12 * 12 * 3;
  for (std::size_t i = 0; i < 16; ++i)
    CHECK(std::equal(a0.images.begin() + static_cast<std::ptrdiff_t>(i) * n,
                     a0.images.begin() + static_cast<std::ptrdiff_t>(i + 1) * n,
                     e0.images.begin() + a0.indices[i] * n));
}

TEST_CASE("epoch_order: permutations; no shuffling is the identity") {
  CHECK(epoch_order(0, 1, 0, true).empty());
  CHECK(epoch_order(3, 1, 0, false) == std::vector<std::int64_t>{0, 1, 2});
  std::set<std::vector<std::int64_t>> seen;
  for (std::int64_t epoch = 0; epoch < 200; ++epoch) seen.insert(epoch_order(4, 1, epoch, true));
  CHECK(seen.size() == 24);
}

TEST_CASE("Loader: resuming in the middle of an epoch continues it exactly") {
  const Folder folder(29);
  const Transform t = Transform::train(12);
  Loader whole(folder, t, options(4, 2));
  const Epoch want = run(whole, 2);
  for (const std::size_t batches : {0u, 1u, 4u, 7u, 8u}) {
    Loader first(folder, t, options(4, 3));
    Epoch got;
    std::int64_t position = 0;
    first.start_epoch(2);
    for (std::size_t i = 0; i < batches; ++i) {
      const BatchPtr b = first.next();
      REQUIRE(b);
      CHECK(b->begin == position);
      add(*b, got);
      position = b->end;
    }
    Loader second(folder, t, options(4, 1));
    const Epoch rest = run(second, 2, position);
    got.indices.insert(got.indices.end(), rest.indices.begin(), rest.indices.end());
    got.images.insert(got.images.end(), rest.images.begin(), rest.images.end());
    CHECK(got.indices == want.indices);
    CHECK(got.images == want.images);
  }
}

TEST_CASE("Loader: drop_last, counts and an empty source") {
  const Folder folder(11);
  LoaderOptions o = options(4, 2);
  o.drop_last = true;
  Loader loader(folder, Transform::score(8, false), o);
  CHECK(loader.batches_per_epoch() == 2);
  CHECK(run(loader, 0).sizes == std::vector<std::int64_t>{4, 4});
  CHECK(run(loader, 0, 4).ends == std::vector<std::int64_t>{8});
  CHECK(run(loader, 0, 8).sizes.empty());
  Loader all(folder, Transform::score(8, false), options(4, 0));
  CHECK(all.batches_per_epoch() == 3);
  run(all, 0);
  CHECK(all.stats().batches == 3);
  CHECK(all.stats().images == 11);
  CHECK(all.stats().wait_s > 0);
  const Folder none(0);
  for (const int workers : {0, 2}) {
    Loader empty(none, Transform::score(8, false), options(4, workers));
    CHECK(run(empty, 0).sizes.empty());
  }
}

TEST_CASE("Loader: bad options are refused") {
  const Folder folder(3);
  const auto make = [&](auto change) {
    LoaderOptions o = options(2, 0);
    change(o);
    return [&folder, o] { Loader(folder, Transform::score(8, false), o); };
  };
  test::check_error(ErrorKind::usage, {"batch of 0"}, make([](LoaderOptions& o) { o.batch_size = 0; }));
  test::check_error(ErrorKind::usage, {"-1"}, make([](LoaderOptions& o) { o.workers = -1; }));
  test::check_error(ErrorKind::usage, {"prefetch of 0"}, make([](LoaderOptions& o) { o.prefetch = 0; }));
  test::check_error(ErrorKind::usage, {"share"}, make([](LoaderOptions& o) { o.max_bad_share = std::nan(""); }));
  Loader loader(folder, Transform::score(8, false), options(2, 0));
  test::check_error(ErrorKind::run, {"start_epoch"}, [&] { loader.next(); });
  test::check_error(ErrorKind::usage, {"position 4"}, [&] { loader.start_epoch(0, 4); });
}

TEST_CASE("Loader, policy fail: the first bad file in order stops the run, whatever the number of workers") {
  Folder folder(30);
  folder.spoil({7, 19, 20});
  for (const int workers : {0, 1, 4}) {
    LoaderOptions o = options(4, workers);
    o.shuffle = false;
    Loader loader(folder, Transform::score(8, false), o);
    loader.start_epoch(0);
    CHECK(loader.next()->size == 4);
    for (int again = 0; again < 2; ++again)
      test::check_error(ErrorKind::data, {"image7.ppm", "truncated"}, [&] { loader.next(); });
    // and the loader can be used for what is good
    loader.start_epoch(0, 21);
    CHECK(loader.next()->indices.front() == 21);
  }
}

TEST_CASE("Loader, policy skip: bad files are left out, counted and named, the same for any number of workers") {
  Folder folder(40);
  folder.spoil({3, 4, 5, 6, 11});
  folder.paths[20] += ".missing";
  test::put(folder.paths[30], "");
  Epoch want;
  for (const int workers : {0, 1, 5}) {
    LoaderOptions o = options(4, workers);
    o.bad_files = BadFiles::skip;
    o.max_bad_share = 0.2;
    Loader loader(folder, Transform::train(12), o);
    const Epoch e = run(loader, 1);
    CHECK(e.indices.size() == 33);
    CHECK(loader.bad_files().size() == 7);
    std::set<std::int64_t> bad;
    for (const BadFile& file : loader.bad_files()) {
      bad.insert(file.index);
      CHECK(file.reason.find(file.path) != std::string::npos);
    }
    CHECK(bad == std::set<std::int64_t>{3, 4, 5, 6, 11, 20, 30});
    for (const std::int64_t index : e.indices) CHECK(bad.count(index) == 0);
    if (workers == 0)
      want = e;
    else
      check_same(e, want);
    run(loader, 2);
    CHECK(loader.bad_files().size() == 7);  // of the epoch, not of all
  }
  // a batch without one good image is not handed out; its neighbours are whole
  LoaderOptions o = options(2, 2);
  o.shuffle = false;
  o.bad_files = BadFiles::skip;
  o.max_bad_share = 0.2;
  Loader loader(folder, Transform::train(12), o);
  const Epoch e = run(loader, 0);
  CHECK(e.sizes.size() == 19);  // of 20: images 4 and 5 are one batch; 3, 6, 11, 20 and 30 leave one of two
  CHECK(std::count(e.sizes.begin(), e.sizes.end(), 1) == 5);
}

TEST_CASE("Loader, policy skip: too many bad files stop the run") {
  const auto bad_until_stop = [](int count, std::initializer_list<int> spoiled, double share) {
    Folder folder(count);
    folder.spoil(spoiled);
    LoaderOptions o = options(4, 2);
    o.shuffle = false;
    o.bad_files = BadFiles::skip;
    o.max_bad_share = share;
    Loader loader(folder, Transform::train(8), o);
    loader.start_epoch(0);
    try {
      while (loader.next()) {
      }
      return -static_cast<int>(loader.bad_files().size());  // the epoch came to its end
    } catch (const Error& e) {
      CHECK(e.kind() == ErrorKind::data);
      CHECK_FALSE(e.hint().empty());
      CHECK(std::string(e.what()).find(".ppm") != std::string::npos);
      return static_cast<int>(loader.bad_files().size());
    }
  };
  CHECK(bad_until_stop(20, {0}, 0.01) == -1);          // one is always tolerated
  CHECK(bad_until_stop(20, {0, 9}, 0.01) == 2);        // two of twenty are more than 1%
  CHECK(bad_until_stop(20, {5}, 0) == 1);              // a share of 0 tolerates none
  CHECK(bad_until_stop(20, {0, 1, 2, 3}, 0.2) == -4);  // early, but a fifth of the set
  CHECK(bad_until_stop(20, {0, 1, 2, 3, 19}, 0.2) == 5);
  CHECK(bad_until_stop(3, {0, 1, 2}, 1) == -3);
}

namespace {

// A source whose labels fail in ways that are not a bad file.
class Treacherous : public SampleSource {
 public:
  Treacherous(const Folder& folder, int kind) : folder_(folder), kind_(kind) {}
  std::int64_t size() const override { return folder_.size(); }
  std::string path(std::int64_t i) const override { return folder_.path(i); }
  std::int64_t label(std::int64_t i) const override {
    if (i == 9 && kind_ == 0) throw std::bad_alloc();
    if (i == 9 && kind_ == 1) throw 42;
    if (i == 9 && kind_ == 2) fail(ErrorKind::run, "a bug");
    return i;
  }

 private:
  const Folder& folder_;
  int kind_;
};

}  // namespace

TEST_CASE("Loader: other exceptions of a worker reach the caller under either policy") {
  const Folder folder(30);
  for (const int workers : {0, 3}) {
    for (const BadFiles policy : {BadFiles::fail, BadFiles::skip}) {
      const auto drain = [&](int kind) {
        const Treacherous source(folder, kind);
        LoaderOptions o = options(4, workers);
        o.bad_files = policy;
        o.max_bad_share = 1;
        Loader loader(source, Transform::train(8), o);
        loader.start_epoch(0);
        while (loader.next()) {
        }
      };
      CHECK_THROWS_AS(drain(0), std::bad_alloc);
      CHECK_THROWS_AS(drain(1), int);
      test::check_error(ErrorKind::run, {"a bug"}, [&] { drain(2); });
    }
  }
}

TEST_CASE("Loader: destroyed, restarted and outlived at any time") {
  const Folder folder(64);
  for (int taken = 0; taken < 12; ++taken) {
    BatchPtr kept;
    {
      Loader loader(folder, Transform::train(16), options(8, 3));
      if (taken == 0) continue;  // never started
      loader.start_epoch(0);
      for (int i = 1; i < taken; ++i) kept = loader.next();
      if (taken % 3 == 0) {  // abandon an epoch under way
        loader.start_epoch(5);
        loader.start_epoch(6);
        CHECK(loader.next()->begin == 0);
      }
    }
    if (kept) CHECK(kept->labels.size() == static_cast<std::size_t>(kept->size));
  }
}

TEST_CASE("Loader: batches in flight are bounded, buffers are used again") {
  class Counting : public SampleSource {
   public:
    explicit Counting(const Folder& folder) : folder_(folder) {}
    std::int64_t size() const override { return folder_.size(); }
    std::string path(std::int64_t i) const override {
      ++asked;
      return folder_.path(i);
    }
    std::int64_t label(std::int64_t) const override { return 0; }
    mutable std::atomic<int> asked{0};

   private:
    const Folder& folder_;
  };
  const Folder folder(60);
  const Counting source(folder);
  LoaderOptions o = options(4, 3);
  o.prefetch = 2;
  Loader loader(source, Transform::train(8), o);
  loader.start_epoch(0);
  std::set<const float*> buffers;
  int handed = 0;
  while (const BatchPtr b = loader.next()) {
    buffers.insert(b->images.data());
    ++handed;
    if (handed == 3) std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the workers run into the bound
    CHECK(source.asked.load() <= (handed + o.prefetch) * 4);
  }
  CHECK(handed == 15);
  CHECK(buffers.size() <= 4);  // prefetch, the one in use, and one that changes hands
}

TEST_CASE("benchmark_loading: a rate for each repeat, and what was read") {
  const Folder folder(12);
  const LoadBenchmark result = benchmark_loading(
      folder, {.workers = 2, .batch_size = 4, .transform = Transform::train(16), .repeats = 3, .images = 8, .seed = 1});
  CHECK(result.workers == 2);
  CHECK(result.images == 8);
  CHECK(result.crops_per_s.size() == 3);
  CHECK(result.min_crops_per_s > 0);
  CHECK(result.min_crops_per_s <= result.median_crops_per_s);
  CHECK(result.median_crops_per_s <= result.max_crops_per_s);
  CHECK(result.mean_pixels > 70);
  CHECK(result.mean_file_bytes > 200);
  const Folder none(0);
  test::check_error(ErrorKind::data, {"no images"}, [&] { benchmark_loading(none, {}); });
}
