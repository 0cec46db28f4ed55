// The loader: its order and draws depend on seed, epoch and sample alone; ends of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "data/load_benchmark.h"
#include "tests/loader_folder.h"

using namespace pen;
using test::add, test::check_same, test::Epoch, test::Folder, test::options, test::run;

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
  CHECK(run(loader, 0, 3).ends == std::vector<std::int64_t>{7, 11});  // batches count from where the epoch begins
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
