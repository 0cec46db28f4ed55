// What a run says of its memory before the first step is true: the largest batch that fits does, and a larger one ends
// with a clear error that leaves the last checkpoint as it was.
#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "tests/training_runs.h"
#include "train/step_memory.h"

using namespace pen;
using test::contains;
using test::Ended;
using test::operator+;
using test::penumbra;
using test::slurp;
using test::TrainingData;
using test::Words;

namespace {

// "1.5 MiB" at `text`, in bytes.
double bytes_at(const std::string& text) {
  std::istringstream in(text);
  double value = 0;
  std::string unit;
  in >> value >> unit;
  return value * (unit.starts_with("GiB") ? 1 << 30 : unit.starts_with("MiB") ? 1 << 20 : 1);
}

// "memory: FIXED and EACH an image, BATCH for a batch of ..."
struct Told {
  double fixed = 0, each = 0, batch = 0;
};
Told told(const std::string& log) {
  const std::size_t at = log.find("memory: ");
  REQUIRE(at != std::string::npos);
  const std::size_t also = log.find(" and ", at);
  const std::string words = "an image, ";
  const std::size_t batch = log.find(words, also) + words.size();
  // The words are rounded, by up to a twentieth of a MiB.
  return {bytes_at(log.substr(at + 8)), bytes_at(log.substr(also + 5)), bytes_at(log.substr(batch)) + 0.06 * (1 << 20)};
}

Words limited_to(double bytes) {
  std::ostringstream text;
  text.precision(12);
  text << bytes / (1 << 30);
  return {"--memory_limit", text.str()};
}

}  // namespace

TEST_CASE("the largest batch from what a step takes") {
  StepMemory m;
  m.fixed = 1000, m.per_image = 100, m.least = 1150, m.host = 100;
  const auto largest = [&](std::uint64_t tensors, std::uint64_t machine) {
    m.start.tensors = tensors, m.start.machine = machine;
    return m.largest_batch();
  };
  CHECK(m.of(10) == 2000);
  CHECK(m.of(1) == 1150);
  CHECK(largest(1000 + 100 * 64, 1 << 20) == 64);
  CHECK(largest(1000 + 100 * 63, 1 << 20) == 50);  // 63 images might be rounded up by a quarter, 50 may be and fit
  CHECK(largest(1149, 1 << 20) == 0);
  CHECK(largest(1150, 1 << 20) == 1);
  CHECK(largest(10, 1 << 20) == 0);
  // What the loader holds comes on top where tensors share its memory.
  CHECK(largest(1 << 20, 1000 + 200 * 32) == 32);
  m.shared = false;
  CHECK(largest(1000 + 100 * 64, 0) == 64);
}

TEST_CASE("train: memory before the first step, and an error that names the largest batch and keeps the checkpoint") {
  const TrainingData data;
  const auto words = [&](const std::string& name, const std::string& batch, const Words& more) {
    Words w = data.train(name, Words{"--checkpoint_steps", "1", "--max_steps", "1"} + more);
    *(std::find(w.begin(), w.end(), "--batch_size") + 1) = batch;
    return w;
  };
  for (const std::string mode : {"fix", "ca"}) {
    CAPTURE(mode);
    const Words how = mode == "fix" ? Words{"--fixed_classifier"} : Words{};
    Ended ended = penumbra(words(mode, "12", how));
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const std::string log = slurp(data.at(mode, "log.txt"));
    CHECK(contains(log, "for a batch of 12; a batch of "));
    const Told memory = told(log);
    REQUIRE(memory.each > 0);
    // Room for 8 images and, as the words are rounded, a little more.
    const Words limit = limited_to(memory.fixed + 0.06 * (1 << 20) + 8.1 * memory.each);

    const std::string before = slurp(data.at(mode));
    Words resume{"train", "--output_path", data.runs, "--name", mode, "--resume", "--max_steps", "2"};
    ended = penumbra(resume + limit);
    CAPTURE(ended.err);
    CHECK(ended.code == 1);
    CHECK(contains(ended.err, "error: out of memory on cpu: a tensor asked for "));
    CHECK(contains(ended.err, "tensors hold "));
    CHECK(contains(ended.err, "the largest batch that fits is 8;"));
    CHECK(contains(ended.err, data.at(mode) + ", is complete"));
    CHECK(contains(ended.err, "hint: --batch_size 8 fits"));
    CHECK(slurp(data.at(mode)) == before);

    // With memory again the run goes on from there; and the batch that was named fits.
    ended = penumbra(resume + Words{"--memory_limit", "0"});
    CHECK_MESSAGE(ended.code == 0, ended.err);
    ended = penumbra(words(mode + "8", "8", how + limit));
    CHECK_MESSAGE(ended.code == 0, ended.err);
  }
}

TEST_CASE("train and fit-classifier: the rehearsal leaves the run as it would be without") {
  // Equal bits with a limit under which nothing can be rehearsed but the run itself fits.
  const TrainingData data;
  Words w = data.train("one", {"--max_steps", "2", "--fixed_classifier"});
  *(std::find(w.begin(), w.end(), "--batch_size") + 1) = "1";
  REQUIRE(penumbra(w).code == 0);
  const Told memory = told(slurp(data.at("one", "log.txt")));
  *(std::find(w.begin(), w.end(), "--name") + 1) = "two";
  const Ended ended = penumbra(w + limited_to(std::max(memory.fixed + 1.6 * memory.each, memory.batch)));
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  CHECK_FALSE(contains(slurp(data.at("two", "log.txt")), "memory: "));
  test::check_same(data.at("one"), data.at("two"));

  const Ended fitted = penumbra({"fit-classifier", "--train_json", data.list, "--arch", "resnet18", "--width", "0.125",
                                 "--input_size", "32", "--epochs", "1", "--batch_size", "8", "--workers", "1",
                                 "--output_path", data.runs, "--name", "fitted"});
  REQUIRE_MESSAGE(fitted.code == 0, fitted.err);
  CHECK(contains(fitted.err, "for a batch of 8; a batch of "));
}

TEST_CASE("bench: a batch that does not fit is answered with the largest that does") {
  const auto bench = [](const std::string& batch, const Words& more) {
    return penumbra(Words{"bench",        "step", "--mode",    "infer", "--arch",  "resnet18", "--width", "0.125",
                          "--input_size", "32",   "--classes", "10",    "--batch", batch,      "--steps", "1",
                          "--warmup",     "0",    "--device",  "cpu"} +
                    more);
  };
  const Words limit{"--memory_limit", "0.01"};
  const Ended refused = bench("4096", limit);
  CAPTURE(refused.err);
  CHECK(refused.code == 1);
  const std::string words = "the largest batch that fits is ";
  const std::size_t at = refused.err.find(words);
  REQUIRE(at != std::string::npos);
  const std::string largest = std::to_string(std::stol(refused.err.substr(at + words.size())));
  const Ended fits = bench(largest, limit);
  CHECK_MESSAGE(fits.code == 0, fits.err);
}
