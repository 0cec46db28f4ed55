// Whole runs of `penumbra train`: they go on exactly after any stop, and say exactly what went wrong.
#include <doctest/doctest.h>

#include <limits>

#include "kernels/kernels.h"
#include "tests/paths.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

const Words fix{"--fixed_classifier", "--lambda_tv", "0.001", "--mask_in_criterion", "crossentropy"};
const Words everything{
    "--zoo_mode",     "historic",          "--prob_historic", "0.5", "--save_freq", "2", "--f_size", "2",
    "--apply_gumbel", "--add_prob_layers", "--add_class_ids"};

}  // namespace

TEST_CASE("a run stopped anywhere and resumed is the run that was never stopped, to the bit") {
  std::map<std::string, Words> kinds{{"fix", fix},
                                     {"fix-ahead", fix + Words{"--clean_ahead", "on"}},
                                     {"ca", everything},
                                     {"ca-fp16", everything + Words{"--precision", "fp16", "--loss_scale", "256"}}};
  if (kernels::device::has_bf16({})) kinds.emplace("ca-bf16", everything + Words{"--precision", "bf16"});
  for (const auto& [kind, options] : kinds) {
    CAPTURE(kind);
    const Words two_epochs = options + Words{"--epochs", "2", "--do_val", "--val_json", data().val};
    finish(data().train(kind + "-whole", two_epochs));
    // Stops: in the first epoch, at its end, in the second.
    finish(data().train(kind + "-parts", two_epochs + Words{"--max_steps", "4"}));
    CHECK(read_checkpoint(data().at(kind + "-parts")).fact("step") == "4");
    CHECK(read_checkpoint(data().at(kind + "-parts")).fact("data_position") == "16");
    finish(data().resume(kind + "-parts", {"--max_steps", "6"}));
    finish(data().resume(kind + "-parts", {"--max_steps", "7"}));
    finish(data().resume(kind + "-parts", {"--max_steps", "0", "--workers", "0"}));
    check_same(data().at(kind + "-whole"), data().at(kind + "-parts"));
    check_same(data().at(kind + "-whole", "epoch_000.chk"), data().at(kind + "-parts", "epoch_000.chk"));
    for (const char* log : {"log/train.jsonl", "log/val.jsonl"})
      CHECK(logged(data().at(kind + "-whole", log)) == logged(data().at(kind + "-parts", log)));
    CHECK(count_lines(data().at(kind + "-parts", "log/train.jsonl")) == 12);
    CHECK(count_lines(data().at(kind + "-parts", "log/val.jsonl")) == 2);
    CHECK(count_lines(data().at(kind + "-parts", "metrics.csv")) == 3);
    // A finished run that is resumed has nothing to do.
    finish(data().resume(kind + "-parts"));
    check_same(data().at(kind + "-whole"), data().at(kind + "-parts"));
  }
  check_same(data().at("fix-whole"), data().at("fix-ahead-whole"));
  CHECK(logged(data().at("fix-whole", "log/train.jsonl")) == logged(data().at("fix-ahead-whole", "log/train.jsonl")));
  const Checkpoint ca = read_checkpoint(data().at("ca-whole"));
  CHECK(input_size(ca) == 32);  // not given: the classifier's
  CHECK(ca.fact("zoo_size") == "2");
  CHECK(ca.fact("draws") != "0");
  // Not the same for want of change: the classifier stays in FIX and moves in CA.
  const StateDict start = read_checkpoint(data().classifier).parts.at("state_dict_classifier");
  const auto moved = [&](const std::string& name) {
    const StateDict end = read_checkpoint(data().at(name)).parts.at("state_dict_classifier");
    return !same_bytes(start[0].tensor, end[0].tensor);
  };
  CHECK_FALSE(moved("fix-whole"));
  CHECK(moved("ca-whole"));
  // The files of a run in 16 bit are those of any other.
  const Checkpoint half = read_checkpoint(data().at("ca-fp16-whole"));
  REQUIRE(half.parts.size() == ca.parts.size());
  for (const auto& [part, state] : half.parts) {
    CAPTURE(part);
    REQUIRE(state.size() == ca.parts.at(part).size());
    for (std::size_t i = 0; i < state.size(); ++i) {
      CHECK(state[i].name == ca.parts.at(part)[i].name);
      CHECK(state[i].tensor.dtype() == ca.parts.at(part)[i].tensor.dtype());
      CHECK(state[i].tensor.shape() == ca.parts.at(part)[i].tensor.shape());
    }
  }
}

TEST_CASE("Ctrl-C saves and exits with 130; the run goes on as if nothing had happened") {
  Running run(data().train("ctrl-c", everything + Words{"--epochs", "100000"}));
  REQUIRE(Running::until([] { return count_lines(data().at("ctrl-c", "log/train.jsonl")) >= 8; }));
  run.signal(SIGINT);
  CHECK(run.wait() == 130);
  const std::int64_t step = read_checkpoint(data().at("ctrl-c")).integer("step");
  CHECK(step >= 8);
  CHECK(count_lines(data().at("ctrl-c", "log/train.jsonl")) == static_cast<std::size_t>(step));
  const Words end{"--max_steps", std::to_string(step + 7)};
  finish(data().resume("ctrl-c", end));
  finish(data().train("no-ctrl-c", everything + Words{"--epochs", "100000"} + end));
  check_same(data().at("ctrl-c"), data().at("no-ctrl-c"));
  CHECK(logged(data().at("ctrl-c", "log/train.jsonl")) == logged(data().at("no-ctrl-c", "log/train.jsonl")));
}

TEST_CASE("kill -9 at any moment leaves a checkpoint that loads and a run that goes on") {
  const Words words = fix + Words{"--epochs", "100000", "--checkpoint_steps", "1"};
  const std::string last = data().at("killed");
  Rng rng(7);
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const std::int64_t before = i == 0 ? 0 : read_checkpoint(last).integer("step");
    Running run(i == 0 ? data().train("killed", words) : data().resume("killed"));
    // Once it trains, every step is a save: the moment falls anywhere in one.
    REQUIRE(Running::until([&] {
      return std::filesystem::exists(last) &&
             count_lines(data().at("killed", "log/train.jsonl")) > static_cast<std::size_t>(before) + 1;
    }));
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(40000)));
    run.signal(SIGKILL);
    CHECK(run.wait() == -SIGKILL);
    CHECK(read_checkpoint(last).integer("step") > before);
  }
  const std::int64_t step = read_checkpoint(last).integer("step");
  const Words end{"--max_steps", std::to_string(step + 2)};
  finish(data().resume("killed", end));
  CHECK(logged(data().at("killed", "log/train.jsonl")).size() == static_cast<std::size_t>(step) + 2);
  for (const auto& entry : std::filesystem::directory_iterator(data().runs + "/killed"))
    CHECK_MESSAGE(!contains(entry.path().string(), ".chk.tmp-"), entry.path(), " was left behind");
  finish(data().train("not-killed", words + end));
  check_same(last, data().at("not-killed"));
}

TEST_CASE("a disk that is full during a save is an error that names the file; the checkpoint before it stays") {
  finish(data().train("full", fix + Words{"--max_steps", "3"}));
  const std::string before = slurp(data().at("full"));
  std::string command = "ulimit -f " + std::to_string(before.size() / 1024) + "; trap '' XFSZ; exec ";
  for (const std::string& word : Words{pen::test::program_path()} + data().resume("full", {"--max_steps", "5"}))
    command += shell_quoted(word) + " ";
  const ScratchFolder out;
  const int status = std::system(("bash -c " + shell_quoted(command) + " 2>" + out / "err").c_str());
  CHECK(WEXITSTATUS(status) == 1);
  const std::string said = slurp(out / "err");
  CHECK_MESSAGE(contains(said, "error: cannot write '" + data().runs + "/full/"), said);
  CHECK_MESSAGE(contains(said, ".chk': File too large"), said);
  CHECK(slurp(data().at("full")) == before);
  finish(data().resume("full", {"--max_steps", "5"}));
  CHECK(read_checkpoint(data().at("full")).integer("step") == 5);
}

TEST_CASE("a loss that is not finite stops the run with its step, its images and the last checkpoint") {
  const Ended exploded =
      penumbra(data().train("exploded", fix + Words{"--lr_casme", "1e30", "--checkpoint_steps", "1"}));
  CHECK(exploded.code == 1);
  CHECK_MESSAGE(contains(exploded.err, "loss is nan at step "), exploded.err);
  CHECK(contains(exploded.err, "(epoch 0); its batch:\n  " + data().folder.path() + "/images/"));
  CHECK(contains(exploded.err, "last checkpoint: " + data().at("exploded")));
  read_checkpoint(data().at("exploded"));

  // An infinity at either end of the classifier: the first one's NaN has to come through norms, ReLUs and pools.
  for (const std::string tensor : {"conv1.weight", "fc.weight"}) {
    CAPTURE(tensor);
    Checkpoint broken = read_checkpoint(data().classifier);
    StateDict& state = broken.parts.at("state_dict_classifier");
    const auto at = std::find_if(state.begin(), state.end(), [&](const NamedTensor& t) { return t.name == tensor; });
    REQUIRE(at != state.end());
    at->tensor.mutable_data<float>()[0] = std::numeric_limits<float>::infinity();
    const std::string file = data().folder / (tensor + ".chk"), name = "inf_" + tensor;
    write_checkpoint(file, broken);
    Words words = data().train(name, {"--max_steps", "3"});
    *(std::find(words.begin(), words.end(), "--resnet_path") + 1) = file;
    const Ended inf = penumbra(words);
    CHECK(inf.code == 1);
    CHECK_MESSAGE(contains(inf.err, "classifier_loss is nan at step 0 (epoch 0); its batch:"), inf.err);
    CHECK(contains(inf.err, "last checkpoint: none"));
  }
}

TEST_CASE("refusals: labels, checkpoints, folders") {
  const auto refused = [](int code, const Words& words, const std::string& part) {
    const Ended ended = penumbra(words);
    CHECK(ended.code == code);
    CHECK_MESSAGE(contains(ended.err, part), ended.err);
    CHECK(ended.out.empty());
  };
  const std::string three = data().folder / "three.json";
  Metadata more(data().folder / "images", {"left", "right", "up"});
  more.add(data().folder / "images/left/p0.png", 2);
  more.write(three);
  Words words = data().train("three", {});
  words[2] = three;
  refused(3, words, "three.json' has 3 classes, the classifier of '" + data().classifier + "' has 2");
  put(three, R"({"root": "x", "samples": [["a.png", 2]], "classes": ["left", "right"],
                 "class_to_idx": {"left": 0, "right": 1}})");
  refused(3, words, "three.json");
  Metadata other(data().folder / "images", {"a", "b"});
  other.add(data().folder / "images/left/p0.png", 1);
  other.write(three);
  refused(3, words, "has other class names than the classifier");
  refused(3, data().train("val", {"--do_val", "--val_json", three}), "has other classes than");

  finish(data().train("refused", fix + Words{"--max_steps", "1"}));
  refused(2, data().train("refused", {}), "is there already and is not overwritten");
  const std::string last = data().at("refused"), good = slurp(last);
  put(last, good.substr(0, good.size() / 2));
  refused(4, data().resume("refused"), last);
  put(last, "");
  refused(4, data().resume("refused"), last);
  put(last, slurp(data().classifier));
  refused(4, data().resume("refused"), last + "' has no state_dict_masker: a run cannot go on from it");
  finish(data().train("other", {"--max_steps", "1", "--lambda_tv", "1"}));
  put(last, slurp(data().at("other")));
  finish(data().resume("refused"));  // FIX reads what a CA run wrote: it has all it needs
  std::filesystem::remove(last);
  refused(4, data().resume("refused"), last);
  // Layer by layer: without infilling the frozen copy's way back ends at the mask, which rounds otherwise.
  const Words two = fix + Words{"--max_steps", "2", "--fuse", "false"};
  finish(data().train("plain", two));
  finish(data().train("dummy", two + Words{"--do_infill_for_mask_out", "--infiller_model", "dummy"}));
  check_same(data().at("plain"), data().at("dummy"));
}

TEST_CASE("--cache: memory, a new folder and a filled one train alike; --decode fast changes nothing of PNGs") {
  const std::string cache = data().folder / "cache";
  finish(data().train("ram", fix + Words{"--max_steps", "2", "--cache", "ram"}));
  finish(data().train("new", fix + Words{"--max_steps", "2", "--cache", cache, "--workers", "2"}));
  CHECK_FALSE(std::filesystem::is_empty(cache));
  finish(data().train("filled", fix + Words{"--max_steps", "2", "--cache", cache}));
  check_same(data().at("ram"), data().at("new"));
  check_same(data().at("ram"), data().at("filled"));
  finish(data().train("exact", fix + Words{"--max_steps", "2"}));
  finish(data().train("fast", fix + Words{"--max_steps", "2", "--decode", "fast"}));
  check_same(data().at("exact"), data().at("fast"));
}
