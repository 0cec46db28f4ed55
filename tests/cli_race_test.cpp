// The programs that scripts/race runs in turn: ours and PyTorch's compute the same masks, logits and gradients from the
// same rule. Skipped where there is no PyTorch.
#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "base/json.h"
#include "tests/program.h"
#include "tests/skip.h"

using namespace pen;
using test::contains;
using test::Ended;

namespace {

Ended race(const std::vector<std::string>& words, const std::string& environment = {}) {
  const test::ScratchFolder folder;
  std::string command = environment + " python3 " + test::shell_quoted(test::tests_folder() + "/../scripts/race") +
                        " --penumbra " + test::shell_quoted(test::program_path());
  for (const std::string& word : words) command.append(" ").append(test::shell_quoted(word));
  command += " >" + folder / "out" + " 2>" + folder / "err" + " </dev/null";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, test::slurp(folder / "out"), test::slurp(folder / "err")};
}

// A Python that has PyTorch, "" if there is none.
std::string with_torch() {
  const char* given = std::getenv("PENUMBRA_PYTHON");
  for (const std::string& candidate : {std::string(given ? given : "python3"), std::string("/usr/bin/python3")})
    if (std::system((test::shell_quoted(candidate) + " -c 'import torch' >/dev/null 2>&1").c_str()) == 0)
      return candidate;
  return {};
}

}  // namespace

TEST_CASE("race: ours, tuned and eager PyTorch agree on the first step") {
  const std::string python = with_torch();
  if (python.empty()) PEN_SKIP("needs PyTorch (Debian: python3-torch)");
  const test::ScratchFolder folder;
  const std::string file = folder / "race.json";
  const auto run = [&](const std::string& mode, int size) {
    const Ended ended =
        race({"--mode",   mode,   "--arch",   "resnet18", "--width", "0.25", "--input_size", std::to_string(size),
              "--batch",  "8",    "--rounds", "1",        "--steps", "1",    "--precision",  "fp32",
              "--python", python, "--json",   file},
             "OMP_WAIT_POLICY=passive");
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(contains(ended.out, "| step | program |"));
    return parse_json_file(file);
  };
  int ratios = 0, errors = 0;
  double of_ca = 0;
  const auto read = [&](const rapidjson::Document& json) {
    for (const auto& row : json["rows"].GetArray()) {
      const std::string mode = row["mode"].GetString();
      INFO(mode << " " << std::string(row["name"].GetString()));
      CHECK(row["images_per_s"].GetDouble() > 0);
      CHECK(row["peak_bytes"].GetInt64() > 0);
      ratios += row.HasMember("ours_over_it");
      for (const auto& error : row["errors"].GetObject()) {
        ++errors;
        REQUIRE(error.value.IsNumber());
        if (mode == "ca")
          of_ca = std::max(of_ca, error.value.GetDouble());
        else
          CHECK(error.value.GetDouble() < 1e-5);
      }
    }
  };
  const auto all = run("fix,ca,infer", 48);
  REQUIRE(all["rows"].Size() == 9);
  read(all);
  CHECK(ratios == 6);
  CHECK(errors == 8);
  // Norms in training amplify rounding. As long as every unit is on the same side of its ReLU's edge the gradients
  // differ by 2e-6 to 2e-5; one unit on the edge makes 3e-4 to 3e-2 of that, between two builds of PyTorch as between
  // it and ours. Which sizes have such a unit depends on the CPU's instructions (of 40 to 56, none did on those tried;
  // of 64 to 112, half). A wrong formula is wrong at every size. (Deeper networks amplify until an argmax changes, and
  // the criterion's indicators with it: nothing to compare.)
  for (const int size : {40, 56}) {
    CHECK(of_ca < 0.1);
    if (of_ca < 1e-4) break;
    of_ca = 0;
    read(run("ca", size));
  }
  CHECK(of_ca < 1e-4);
}

TEST_CASE("rounding.py: each rounding moves the gradient") {
  const std::string python = with_torch();
  if (python.empty()) PEN_SKIP("needs PyTorch (Debian: python3-torch)");
  const Ended ended = test::run_program(python, {test::tests_folder() + "/../bench/pytorch/rounding.py", "--arch",
                                                 "resnet18", "--width", "0.25", "--input_size", "64", "--batch", "2"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  std::istringstream lines(ended.out);
  int rows = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t number = line.find("| ", 2);
    if (line.starts_with("| rounded") || line.starts_with("| ---") || number == std::string::npos) continue;
    ++rows;
    INFO(line);
    const double error = std::stod(line.substr(number + 2));
    CHECK(error > 0);
    CHECK(error < 1);
  }
  CHECK(rows == 7);
}

TEST_CASE("race: what it refuses") {
  if (std::system("python3 -c 1 >/dev/null 2>&1") != 0) PEN_SKIP("needs Python 3");
  CHECK(race({"--mode", "fix,other"}).code == 2);
  CHECK(race({"--precision", "fp8"}).code == 2);
  const Ended absent = race({"--python", "/nonexistent/python3"});
  CHECK(absent.code == 1);
  CHECK(contains(absent.err, "hint: "));
}
