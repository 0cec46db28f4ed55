// The program with --device cuda beside the same with --device cpu: on the simulated GPU (simulated_gpu.cpp), whose
// memory nobody but kernels and copies can touch, and on a real one where there is one; and what they wrote, compared.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "eval/npy.h"
#include "kernels/kernels.h"
#include "tests/program.h"
#include "tests/skip.h"
#include "tests/training_runs.h"

namespace pen::test {

inline std::string simulated() {
  return (std::filesystem::path(program_path()).parent_path() / "tests" / "penumbra_simulated").string();
}

inline void finish(const std::string& program, const Words& words) {
  const Ended ended = run_program(program, words);
  CAPTURE(words);
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
}

// Numbers of two JSON texts, member by member; `tolerance` is relative to max(1, |want|). Times and names of devices
// are left out.
inline void check_close(const rapidjson::Value& got, const rapidjson::Value& want, double tolerance,
                        const std::string& at) {
  CAPTURE(at);
  REQUIRE(got.GetType() == want.GetType());
  if (want.IsObject()) {
    for (const auto& m : want.GetObject()) {
      const std::string name = m.name.GetString();
      if (contains(name, "seconds") || contains(name, "_ms") || contains(name, "per_s") || name == "device" ||
          name == "time")
        continue;
      REQUIRE_MESSAGE(got.HasMember(name), name);
      check_close(got[name], m.value, tolerance, at + "/" + name);
    }
  } else if (want.IsArray()) {
    REQUIRE(got.Size() == want.Size());
    for (rapidjson::SizeType i = 0; i < want.Size(); ++i)
      check_close(got[i], want[i], tolerance, at + "/" + std::to_string(i));
  } else if (want.IsNumber()) {
    const double w = want.GetDouble();
    CHECK(std::abs(got.GetDouble() - w) <= tolerance * std::max(1.0, std::abs(w)));
  }
}

inline void check_lines(const std::string& got, const std::string& want, std::size_t lines, double tolerance) {
  const auto a = json_lines(slurp(got), got), b = json_lines(slurp(want), want);
  REQUIRE(!b.empty());
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < std::min(b.size(), lines); ++i)
    check_close(a[i], b[i], tolerance, "line " + std::to_string(i));
}

inline void check_json(const std::string& got, const std::string& want, double tolerance) {
  check_close(parse_json(slurp(got), got), parse_json(slurp(want), want), tolerance, "");
}

inline void check_maps(const std::string& got, const std::string& want, double tolerance) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(want)) {
    if (entry.path().extension() != ".npy") continue;
    const std::string name = entry.path().lexically_relative(want).string();
    const eval::NpyArray a = eval::read_npy(got + "/" + name), b = eval::read_npy(entry.path().string());
    const std::vector<double> x = a.doubles(), y = b.doubles();
    CAPTURE(name);
    REQUIRE(a.shape == b.shape);
    double worst = 0;
    for (std::size_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(x[i] - y[i]));
    CHECK(worst <= tolerance);
    ++count;
  }
  CHECK(count > 0);
}

inline const TrainingData& training() {
  static const TrainingData made;
  return made;
}

inline const TinyData& tiny() {
  static const TinyData made;
  return made;
}

// train() of training_runs.h names the CPU; the last word of an option that is given twice would be refused.
inline Words on(const std::string& device, Words words) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (words[i] == "--device") words[i + 1] = device;
  return words;
}

struct Gpu {
  std::string program, name;
};

}  // namespace pen::test
