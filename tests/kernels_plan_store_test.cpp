// Plans of a GPU library on disk, and their keys: no device is needed.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>
#include <thread>

#include "base/log.h"
#include "kernels/conv_spec.h"
#include "kernels/plan_store.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::kernels;
using namespace pen::test;

namespace {

const PlanIdentity identity{"forward f32 n1", "cuDNN 91900", "GPU A"};
const StoredPlan plan{"fused", std::string("{\"a\": 1}\nsecond line, a zero: ") + '\0' + "end", 0.25};

// What is logged while it lives.
class LogFile {
 public:
  LogFile() { log::set_file(folder_ / "log"); }
  ~LogFile() { log::set_file(""); }
  std::string text() const { return slurp(folder_ / "log"); }

 private:
  ScratchFolder folder_;
};

// Sets an environment variable for a scope; null: unset.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before, had_ = true;
    set(value);
  }
  ~Variable() { set(had_ ? before_.c_str() : nullptr); }

 private:
  void set(const char* value) const { value ? ::setenv(name_, value, 1) : ::unsetenv(name_); }
  const char* name_;
  std::string before_;
  bool had_ = false;
};

std::size_t files_in(const std::string& folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.is_regular_file();
  return count;
}

}  // namespace

TEST_CASE("plan store: what was saved comes back, for this graph, library and GPU alone") {
  const ScratchFolder folder;
  PlanStore store(folder / "plans");
  CHECK_FALSE(store.load(identity));
  store.save(identity, plan);
  const auto back = store.load(identity);
  REQUIRE(back);
  CHECK(back->variant == plan.variant);
  CHECK(back->text == plan.text);
  CHECK(back->milliseconds == 0.25);
  for (PlanIdentity other : {PlanIdentity{"forward f32 n2", identity.library, identity.gpu},
                             PlanIdentity{identity.graph, "cuDNN 91901", identity.gpu},
                             PlanIdentity{identity.graph, identity.library, "GPU B"}})
    CHECK_FALSE(store.load(other));
  // A second save replaces the first; a plan may be empty.
  store.save(identity, {"apart", "", 1});
  CHECK(store.load(identity)->text.empty());
  CHECK(files_in(store.folder()) == 1);
}

TEST_CASE("plan store: a damaged, shortened, foreign or older file is a warning and no plan") {
  const ScratchFolder folder;
  PlanStore store(folder.path());
  store.save(identity, plan);
  const std::string path = store.path_of(identity), good = slurp(path);
  const auto refused = [&](const std::string& text, const std::string& why) {
    put(path, text);
    const LogFile log;
    CHECK_FALSE(store.load(identity));
    const std::string said = log.text();
    CAPTURE(text);
    CHECK_MESSAGE(said.find(path) != std::string::npos, said);
    CHECK_MESSAGE(said.find(why) != std::string::npos, said);
  };
  for (std::size_t i = 0; i < good.size(); i += 11) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    refused(changed, "damaged");
    refused(good.substr(0, i), "damaged");
  }
  refused(good + "x", "damaged");
  // A whole file of another identity under this name (two names with one hash).
  const PlanIdentity other{"forward f32 n2", identity.library, identity.gpu};
  store.save(other, plan);
  refused(slurp(store.path_of(other)), "another graph, library or GPU");
  put(path, good);
  CHECK(store.load(identity));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);  // not a file at all
  const LogFile log;
  CHECK_FALSE(store.load(identity));
  CHECK(log.text().find("not a file") != std::string::npos);
}

TEST_CASE("plan store: bounded; what was used last stays") {
  const ScratchFolder folder;
  PlanStore store(folder.path(), 3);
  const auto named = [](int i) { return PlanIdentity{str("graph ", i), "library", "gpu"}; };
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  for (int i = 0; i < 3; ++i) store.save(named(i), plan), wait();
  CHECK(store.load(named(0)));  // used now
  wait();
  store.save(named(3), plan);
  CHECK(files_in(folder.path()) == 3);
  CHECK(store.load(named(0)));
  CHECK_FALSE(store.load(named(1)));
  CHECK(store.load(named(2)));
  CHECK(store.load(named(3)));
}

TEST_CASE("plan store: a folder that cannot be written is one warning; no folder keeps nothing") {
  const ScratchFolder folder;
  put(folder / "file", "");
  PlanStore store(folder / "file/plans");
  const LogFile log;
  store.save(identity, plan);
  store.save(identity, plan);
  const std::string said = log.text();
  const std::size_t at = said.find("plans are not kept");
  CHECK_MESSAGE(at != std::string::npos, said);
  CHECK_MESSAGE(said.find("plans are not kept", at + 1) == std::string::npos, said);
  CHECK_FALSE(store.load(identity));
  PlanStore none("");
  none.save(identity, plan);
  CHECK_FALSE(none.load(identity));
}

TEST_CASE("plan store: the folder follows PENUMBRA_CACHE, XDG_CACHE_HOME and HOME") {
  const Variable home("HOME", "/h"), xdg("XDG_CACHE_HOME", "/x");
  {
    const Variable ours("PENUMBRA_CACHE", "/p");
    CHECK(default_plan_folder() == "/p/plans");
  }
  {
    const Variable off("PENUMBRA_CACHE", "");
    CHECK(default_plan_folder().empty());
  }
  const Variable unset("PENUMBRA_CACHE", nullptr);
  CHECK(default_plan_folder() == "/x/penumbra/plans");
  const Variable no_xdg("XDG_CACHE_HOME", nullptr);
  CHECK(default_plan_folder() == "/h/.cache/penumbra/plans");
}

TEST_CASE("plan keys: every field makes another key, in words and in numbers; the weights' name does not") {
  ConvSpec base;
  base.d = {.n = 2, .h = 9, .w = 8, .c = 6, .k = 4, .r = 3, .s = 3, .p = 9, .q = 8, .stride = 1, .pad = 1};
  std::vector<ConvSpec> all{base};
  const auto with = [&](auto change) {
    ConvSpec spec = base;
    change(spec);
    all.push_back(spec);
  };
  with([](ConvSpec& s) { s.kind = ConvKind::data; });
  with([](ConvSpec& s) { s.kind = ConvKind::weight; });
  with([](ConvSpec& s) { s.dtype = DType::bf16; });
  with([](ConvSpec& s) { s.dtype = DType::f16; });
  with([](ConvSpec& s) { s.math = Math::tf32; });
  with([](ConvSpec& s) { s.bias = true; });
  with([](ConvSpec& s) { s.residual = true; });
  with([](ConvSpec& s) { s.relu = true; });
  with([](ConvSpec& s) { s.relu = true, s.d.relu_slope = 0.1; });
  with([](ConvSpec& s) { s.marks = true; });
  with([](ConvSpec& s) { s.gate = true; });
  with([](ConvSpec& s) { s.deterministic = false; });
  for (std::int64_t Conv2d::*field :
       {&Conv2d::n, &Conv2d::h, &Conv2d::w, &Conv2d::c, &Conv2d::k, &Conv2d::r, &Conv2d::s, &Conv2d::p, &Conv2d::q})
    with([field](ConvSpec& s) { s.d.*field += 10; });
  for (int Conv2d::*field : {&Conv2d::stride, &Conv2d::pad, &Conv2d::dilation, &Conv2d::groups})
    with([field](ConvSpec& s) { s.d.*field += 10; });
  std::set<std::string> words;
  std::set<ConvSpecKey> numbers;
  for (const ConvSpec& s : all) words.insert(key_of(s)), numbers.insert(numbers_of(s));
  CHECK(words.size() == all.size());
  CHECK(numbers.size() == all.size());
  ConvSpec named = base;
  named.d.weight_key = 7;
  CHECK(key_of(named) == key_of(base));
  CHECK(numbers_of(named) == numbers_of(base));
}
