// How runs on a GPU end. There a step is logged while the next one is under way: whatever ends the run, no line of the
// log may be missing, and no checkpoint may hold a step that is not in it. On the simulated GPU (simulated_gpu.cpp),
// held against the CPU.
#include "tests/device_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

const Words fix{"--deterministic", "--fixed_classifier", "--lambda_tv", "0.001", "--mask_in_criterion", "crossentropy"};

std::string lines_of(const std::string& name) { return training().at(name, "log/train.jsonl"); }

// What a failed run said, without its name: that of the run's folder.
std::string complaint(const Ended& ended, const std::string& name) {
  std::string text = ended.err.substr(std::min(ended.err.size(), ended.err.find("error: ")));
  for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;) text.replace(at, name.size(), "NAME");
  return text;
}

// The same command on both devices, which fails on both in the same words after the same steps.
struct Failed {
  std::string complaint;
  std::size_t steps;
};
Failed failed_on_both(const std::string& name, const Words& words) {
  const std::string there = name + "-there", here = name + "-here";
  const Ended got = run_program(simulated(), on("cuda", words + Words{"--name", there}));
  const Ended want = run_program(program_path(), words + Words{"--name", here});
  CHECK(want.code != 0);
  CHECK(got.code == want.code);
  CHECK(complaint(got, there) == complaint(want, here));
  const std::size_t steps = count_lines(lines_of(here));
  CHECK(count_lines(lines_of(there)) == steps);
  for (const std::string& run : {there, here})
    if (std::filesystem::exists(training().at(run)))
      CHECK(read_checkpoint(training().at(run)).integer("step") <= static_cast<std::int64_t>(steps));
  return {complaint(want, here), steps};
}

// train() without the run's name.
Words nameless(const Words& more) {
  Words words = training().train("", more);
  const auto name = std::find(words.begin(), words.end(), "--name");
  words.erase(name, name + 2);
  return words;
}

}  // namespace

TEST_CASE("device: a loss that is not finite ends a run on a GPU at the same step and with the same words") {
  for (const std::string every : {"0", "1", "3"}) {
    CAPTURE(every);
    const Failed run =
        failed_on_both("nan-" + every, nameless(fix + Words{"--lr_casme", "1e38", "--checkpoint_steps", every}));
    CHECK_MESSAGE(
        contains(run.complaint, "loss is nan at step " + std::to_string(run.steps) + " (epoch 0); its batch:"),
        run.complaint);
    CHECK(run.steps >= 1);
    CHECK(contains(run.complaint, "last checkpoint: none") == (every != "1"));
  }
}

TEST_CASE("device: when the next batch cannot be read, the step that is under way is logged first") {
  // Two files that do not exist: one is let pass, the second ends the run.
  Metadata list(training().folder / "images", {"left", "right"});
  for (int i = 0; i < TrainingData::images; ++i) {
    const std::string name = i == 3 || i == 7 ? "missing" : "p" + std::to_string(i);
    list.add(training().folder / (i % 2 == 0 ? "images/left/" : "images/right/") + name + ".png", i % 2);
  }
  const std::string file = training().folder / "lacking.json";
  list.write(file);
  for (const std::string every : {"0", "2"}) {
    CAPTURE(every);
    Words words = nameless(fix + Words{"--epochs", "1", "--max_bad_share", "0.01", "--checkpoint_steps", every});
    *(std::find(words.begin(), words.end(), "--train_json") + 1) = file;
    const Failed run = failed_on_both("lacking-" + every, words);
    CHECK_MESSAGE(contains(run.complaint, "could not be used"), run.complaint);
    CHECK(run.steps >= 1);
  }
}

TEST_CASE("device: Ctrl-C on a GPU saves every step that was begun; the run goes on as if nothing had happened") {
  const Words words = fix + Words{"--epochs", "100000"};
  Running run(on("cuda", training().train("ctrl-c", words)), simulated());
  REQUIRE(Running::until([] { return count_lines(lines_of("ctrl-c")) >= 4; }));
  run.signal(SIGINT);
  CHECK(run.wait() == 130);
  const std::int64_t step = read_checkpoint(training().at("ctrl-c")).integer("step");
  CHECK(step >= 4);
  CHECK(count_lines(lines_of("ctrl-c")) == static_cast<std::size_t>(step));
  const Words end{"--max_steps", std::to_string(step + 3)};
  finish(simulated(), training().resume("ctrl-c", end));
  finish(simulated(), on("cuda", training().train("no-ctrl-c", words + end)));
  check_same(training().at("ctrl-c"), training().at("no-ctrl-c"));
  CHECK(logged(lines_of("ctrl-c")) == logged(lines_of("no-ctrl-c")));
}

TEST_CASE("device: --clean_ahead on a GPU changes nothing of a run but what it takes") {
  const Words both{
      "--fixed_classifier", "--lambda_tv", "0.001",    "--mask_in_criterion", "crossentropy", "--limit", "22",
      "--epochs",           "2",           "--do_val", "--val_json",          training().val};
  const auto run = [&](const std::string& name, const Words& more) {
    finish(simulated(), on("cuda", training().train(name, both + more)));
  };
  run("apart", {"--clean_ahead", "off"});
  run("ahead", {});
  run("ahead-part", {"--max_steps", "3", "--checkpoint_steps", "2"});
  finish(simulated(), training().resume("ahead-part", {"--max_steps", "0"}));
  for (const std::string name : {"ahead", "ahead-part"}) {
    CAPTURE(name);
    check_same(training().at("apart"), training().at(name));
    CHECK(logged(lines_of("apart")) == logged(lines_of(name)));
    CHECK(count_lines(lines_of(name)) == 12);
  }
  // What an image takes, as the run says before its first step: half as many more go through the network at once.
  const auto each = [&](const std::string& name) {
    const std::string log = slurp(training().at(name, "log.txt"));
    const std::size_t at = log.find("memory: ");
    REQUIRE(at != std::string::npos);
    const std::string text = log.substr(log.find(" and ", at) + 5), words = text.substr(0, text.find(" an image"));
    CAPTURE(words);
    REQUIRE((contains(words, "bytes") || contains(words, "MiB")));
    return std::stod(words) * (contains(words, "MiB") ? 1 << 20 : 1);
  };
  CHECK(each("ahead") > each("apart") + 32 * 32 * 3 * 4);  // at least the next image itself
}

TEST_CASE("device: --checkpoint_steps on a GPU changes nothing of a run") {
  const Words words = fix + Words{"--max_steps", "5"};
  finish(simulated(), on("cuda", training().train("saved", words + Words{"--checkpoint_steps", "2"})));
  finish(simulated(), on("cuda", training().train("unsaved", words)));
  check_same(training().at("saved"), training().at("unsaved"));
  CHECK(logged(lines_of("saved")) == logged(lines_of("unsaved")));
  CHECK(count_lines(lines_of("saved")) == 5);
}
