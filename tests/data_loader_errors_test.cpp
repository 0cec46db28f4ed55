// The loader and what cannot be read: both policies, shares, exceptions of workers.
#include <doctest/doctest.h>

#include <algorithm>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "tests/loader_folder.h"

using namespace pen;
using test::check_same, test::Epoch, test::Folder, test::options, test::run;

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
