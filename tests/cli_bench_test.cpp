// The command `bench`: its figures are measured, and hang together.
#include <doctest/doctest.h>

#include <algorithm>

#include "base/json.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra;

TEST_CASE("bench step: one JSON line whose figures follow from the times") {
  for (const std::string mode : {"fix", "ca", "infer"}) {
    INFO(mode);
    const Ended ended = penumbra({"bench",        "step", "--mode",    mode,  "--arch",  "resnet18", "--width", "0.125",
                                  "--input_size", "32",   "--classes", "10",  "--batch", "4",        "--steps", "3",
                                  "--warmup",     "1",    "--device",  "cpu", "--json"});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(std::count(ended.out.begin(), ended.out.end(), '\n') == 1);
    const auto json = parse_json(ended.out, "stdout");
    CHECK(json["mode"].GetString() == mode);
    CHECK(json["batch"].GetInt() == 4);
    CHECK(contains(json["device"].GetString(), "cpu"));
    CHECK(json["versions"].HasMember("oneDNN"));
    CHECK(json["versions"].HasMember("penumbra"));
    CHECK(json["threads"].GetInt() >= 1);
    CHECK(json["peak_bytes"].GetInt64() > json["peak_tensor_bytes"].GetInt64());
    CHECK(json["peak_tensor_bytes"].GetInt64() > 4 * 32 * 32 * 3 * 4);
    CHECK(json["parameters_classifier"].GetInt64() > 10000);
    CHECK(json["parameters_masker"].GetInt64() > 1000);
    const auto& kinds = json["kinds"];
    REQUIRE(kinds.MemberCount() == (mode == "ca" ? 2u : 1u));
    double sum = 0;
    for (const auto& kind : kinds.GetObject()) {
      std::vector<double> seconds;
      for (const auto& s : kind.value["seconds"].GetArray()) seconds.push_back(s.GetDouble());
      REQUIRE(seconds.size() == 3);
      std::sort(seconds.begin(), seconds.end());
      CHECK(seconds[0] > 0);
      CHECK(kind.value["min_s"].GetDouble() == seconds[0]);
      CHECK(kind.value["median_s"].GetDouble() == seconds[1]);
      CHECK(kind.value["max_s"].GetDouble() == seconds[2]);
      sum += seconds[1];
    }
    CHECK(json["median_s"].GetDouble() == doctest::Approx(sum / kinds.MemberCount()));
    CHECK(json["images_per_s"].GetDouble() == doctest::Approx(4 / json["median_s"].GetDouble()));
    CHECK(json.HasMember("median_s_is") == (mode == "ca"));
  }
  const Ended words = penumbra({"bench", "step", "--mode", "infer", "--arch", "resnet18", "--width", "0.125",
                                "--input_size", "32", "--batch", "2", "--steps", "1", "--warmup", "0"});
  CHECK(words.code == 0);
  CHECK(contains(words.out, "img/s"));
  CHECK(contains(words.out, "peak memory"));
}

TEST_CASE("bench loader: from a list and from a folder") {
  const test::TinyData data;
  for (const std::string& path : {data.list, data.folder / "val"}) {
    const Ended ended = penumbra({"bench", "loader", path, "--steps", "2", "--batch", "2", "--workers", "1", "--limit",
                                  "5", "--input_size", "32", "--transform", "score", "--json"});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const auto json = parse_json(ended.out, "stdout");
    CHECK(json["images"].GetInt() == 5);
    CHECK(json["passes"].Size() == 2);
    CHECK(json["images_per_s"].GetDouble() > 0);
    CHECK(json["mean_pixels"].GetDouble() == 48 * 40);
    CHECK(json["versions"].HasMember("libjpeg-turbo"));
  }
  CHECK(penumbra({"bench", "loader", data.folder / "absent.json"}).code == 3);
  CHECK(penumbra({"bench", "loader", data.list, "--warmup", "1"}).code == 2);
}
