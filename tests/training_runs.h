// Whole training runs on a few tiny pictures: the data, the command lines, and the program running beside the test.
#pragma once

#include <fcntl.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <thread>

#include "base/json.h"
#include "tests/paths.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

namespace pen::test {

using Words = std::vector<std::string>;

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// 24 noisy pictures of two classes (bright left or right half), train.json and val.json with all of them,
// classifier.chk.
struct TrainingData {
  static constexpr int images = 24;
  ScratchFolder folder;
  std::string list = folder / "train.json", val = folder / "val.json", classifier = folder / "classifier.chk",
              runs = folder / "runs";

  TrainingData() {
    const std::vector<std::string> classes{"left", "right"};
    Metadata metadata(folder / "images", classes);
    Rng rng(11);
    constexpr int side = 40;
    for (int i = 0; i < images; ++i) {
      std::vector<std::uint8_t> rgb(side * side * 3);
      for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x)
          for (int c = 0; c < 3; ++c)
            rgb[static_cast<std::size_t>((y * side + x) * 3 + c)] =
                static_cast<std::uint8_t>(rng.below(120) + ((x < side / 2) == (i % 2 == 0) ? 120 : 0));
      const std::string file = folder / ("images/" + classes[static_cast<std::size_t>(i % 2)]);
      std::filesystem::create_directories(file);
      write_png(file + "/p" + std::to_string(i) + ".png", side, side, 3, rgb);
      metadata.add(file + "/p" + std::to_string(i) + ".png", i % 2);
    }
    metadata.write(list);
    metadata.write(val);
    TinyNetworks what;
    what.masker = false;
    write_tiny(classifier, what);
  }

  // A run of 6 steps an epoch, on images of the side that the classifier's file says (32). `more` may repeat no option
  // that stands here.
  Words train(const std::string& name, const Words& more) const {
    return Words{"train",
                 "--train_json",
                 list,
                 "--resnet_path",
                 classifier,
                 "--output_path",
                 runs,
                 "--name",
                 name,
                 "--batch_size",
                 "4",
                 "--workers",
                 "1",
                 "--threads",
                 "1",
                 "--device",
                 "cpu",
                 "--quiet",
                 "--mask_out_criterion",
                 "crossentropy",
                 "--masker_use_layers",
                 "1,2",
                 "--perc_of_training",
                 "0.99"} +
           more;
  }
  Words resume(const std::string& name, const Words& more = {}) const {
    return Words{"train", "--output_path", runs, "--name", name, "--resume", "--quiet"} + more;
  }
  std::string at(const std::string& name, const std::string& file = "last.chk") const {
    return runs + "/" + name + "/" + file;
  }
};

// One set of pictures for all cases of a test.
inline const TrainingData& data() {
  static const TrainingData made;
  return made;
}

// Runs the program, which has to succeed.
inline Ended finish(const Words& words) {
  Ended ended = penumbra(words);
  CHECK_MESSAGE(ended.code == 0, ended.err);
  return ended;
}

inline std::vector<rapidjson::Document> json_lines(const std::string& text, const std::string& name = "lines") {
  std::vector<rapidjson::Document> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(parse_json(line, name));
  return out;
}

inline std::size_t count_lines(const std::string& path) {
  std::ifstream in(path);
  std::size_t n = 0;
  for (std::string line; std::getline(in, line);) ++n;
  return n;
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const auto* p = static_cast<const std::uint8_t*>(a.bytes());
  return std::equal(p, p + static_cast<std::size_t>(a.numel()) * size_of(a.dtype()),
                    static_cast<const std::uint8_t*>(b.bytes()));
}

// Every tensor bit by bit, every fact but the options (which hold names and limits of the run).
inline void check_same(const std::string& a, const std::string& b) {
  const Checkpoint x = read_checkpoint(a), y = read_checkpoint(b);
  auto facts = x.facts;
  facts["args"] = y.fact("args");
  CHECK(facts == y.facts);
  REQUIRE(x.parts.size() == y.parts.size());
  for (const auto& [part, state] : x.parts) {
    const StateDict& other = y.parts.at(part);
    REQUIRE(state.size() == other.size());
    for (std::size_t i = 0; i < state.size(); ++i) {
      CAPTURE(part);
      CAPTURE(state[i].name);
      CHECK(state[i].name == other[i].name);
      CHECK(same_bytes(state[i].tensor, other[i].tensor));
    }
  }
}

// Steps as logged, without their times.
inline std::vector<std::string> logged(const std::string& path) {
  std::vector<std::string> out;
  for (const auto& line : json_lines(slurp(path), path)) {
    std::string text;
    for (const auto& m : line.GetObject()) {
      const std::string name = m.name.GetString();
      if (name == "step_ms" || name == "load_ms") continue;
      text += name + "=" + (m.value.IsNull() ? std::string("null") : str(std::hexfloat, m.value.GetDouble())) + " ";
    }
    out.push_back(text);
  }
  return out;
}

// The program beside the test. Killed, if it still runs, when the test leaves.
class Running {
 public:
  explicit Running(const Words& words, const std::string& program = pen::test::program_path()) {
    std::vector<char*> arguments;
    Words copy = Words{program} + words;
    for (std::string& word : copy) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const int nothing = ::open("/dev/null", O_RDWR);
      for (const int fd : {0, 1, 2}) ::dup2(nothing, fd);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
  }
  ~Running() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }
  // The exit code; minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // Until `done`, for at most half a minute.
  static bool until(const std::function<bool()>& done) {
    for (int i = 0; i < 6000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  pid_t pid_ = -1;
};

}  // namespace pen::test
