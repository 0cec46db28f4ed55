// The command `bench`: its figures are measured, and hang together.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/json.h"
#include "kernels/kernels.h"
#include "tensor/safetensors.h"
#include "tests/program.h"
#include "tests/scratch.h"
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
  // The option is taken. A first step, for which nothing was made ahead, is the same (later ones: train_ahead_test).
  std::vector<std::string> gradients;
  for (const std::string ahead : {"on", "off"}) {
    const test::ScratchFolder folder;
    const Ended fix = penumbra(
        {"bench",    "step",      "--arch", "resnet18",      "--width", "0.125",      "--input_size",
         "32",       "--classes", "10",     "--batch",       "4",       "--steps",    "3",
         "--device", "cpu",       "--json", "--clean_ahead", ahead,     "--gradient", folder / "g.safetensors"});
    REQUIRE_MESSAGE(fix.code == 0, fix.err);
    CHECK(parse_json(fix.out, "stdout")["clean_ahead"].GetBool() == (ahead == "on"));
    gradients.push_back(test::slurp(folder / "g.safetensors"));
  }
  CHECK(gradients[0] == gradients[1]);
  const Ended words = penumbra({"bench", "step", "--mode", "infer", "--arch", "resnet18", "--width", "0.125",
                                "--input_size", "32", "--batch", "2", "--steps", "1", "--warmup", "0"});
  CHECK(words.code == 0);
  CHECK(contains(words.out, "img/s"));
  CHECK(contains(words.out, "peak memory"));
}

TEST_CASE("16 bit is refused where nothing would run in it") {
  using Words = std::vector<std::string>;
  for (const std::string precision : {"bf16", "fp16"}) {
    CAPTURE(precision);
    for (Words words :
         {Words{"bench", "step", "--fuse", "false"}, Words{"bench", "kernels"}, Words{"sanity", "mprt"}}) {
      CAPTURE(words.back());
      words.insert(words.end(), {"--precision", precision, "--device", "cpu"});
      CHECK(penumbra(words).code == 2);
    }
    const Ended ended = penumbra({"bench", "step", "--fuse", "false", "--precision", precision, "--device", "cpu"});
    CHECK_MESSAGE(contains(ended.err, "--precision " + precision + " is for bench step"), ended.err);
    const Ended layers = penumbra({"train", "--fixed_classifier", "--fuse", "false", "--precision", precision,
                                   "--mask_out_criterion", "crossentropy", "--resnet_path", "none", "--train_json",
                                   "none", "--output_path", "none", "--device", "cpu"});
    CHECK(layers.code == 2);
    CHECK_MESSAGE(contains(layers.err, "--fuse is false"), layers.err);
  }
}

TEST_CASE("--loss_scale: a power of two, and of fp16 alone") {
  using Words = std::vector<std::string>;
  const Words fix{"train",
                  "--fixed_classifier",
                  "--mask_out_criterion",
                  "crossentropy",
                  "--resnet_path",
                  "none",
                  "--train_json",
                  "none",
                  "--output_path",
                  "none",
                  "--device",
                  "cpu"};
  Words words = fix;
  words.insert(words.end(), {"--precision", "fp16", "--loss_scale", "1000"});
  Ended ended = penumbra(words);
  CHECK(ended.code == 2);
  CHECK_MESSAGE(contains(ended.err, "--loss_scale 1000 is not a power of two"), ended.err);
  words = fix;
  words.insert(words.end(), {"--loss_scale", "512"});
  ended = penumbra(words);
  CHECK(ended.code == 2);
  CHECK_MESSAGE(contains(ended.err, "--precision is not fp16"), ended.err);
}

TEST_CASE("bench step: CA in 16 bit runs, with every kind of classifier") {
  for (const std::string arch : {"resnet18", "resnet50", "resnet20", "mobilenet_v1"})
    for (const std::string precision : {"bf16", "fp16"}) {
      if (precision == "bf16" && !kernels::device::has_bf16({})) continue;
      CAPTURE(arch);
      CAPTURE(precision);
      const Ended ended = penumbra({"bench",
                                    "step",
                                    "--mode",
                                    "ca",
                                    "--arch",
                                    arch,
                                    "--width",
                                    "0.125",
                                    "--input_size",
                                    "64",
                                    "--batch",
                                    "2",
                                    "--steps",
                                    "1",
                                    "--warmup",
                                    "0",
                                    "--precision",
                                    precision,
                                    "--masker_use_layers",
                                    "0,1",
                                    "--device",
                                    "cpu",
                                    "--json"});
      REQUIRE_MESSAGE(ended.code == 0, ended.err);
      CHECK(contains(ended.out, "\"images_per_s\""));
    }
}

TEST_CASE("bench step in fp16 on the CPU: runs, and says that it is not for speed") {
  const Ended ended = penumbra({"bench",        "step", "--mode",   "infer", "--arch",  "resnet18", "--width",  "0.125",
                                "--input_size", "32",   "--batch",  "2",     "--steps", "1",        "--warmup", "0",
                                "--precision",  "fp16", "--device", "cpu"});
  CHECK(ended.code == 0);
  CHECK(contains(ended.err, "--precision fp16 on the CPU computes in float32 between conversions"));
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
  const Ended cached = penumbra({"bench", "loader", data.list, "--steps", "1", "--batch", "2", "--workers", "1",
                                 "--input_size", "32", "--decode", "fast", "--cache", data.folder / "cache", "--json"});
  REQUIRE_MESSAGE(cached.code == 0, cached.err);
  const auto json = parse_json(cached.out, "stdout");
  CHECK(std::string(json["decode"].GetString()) == "fast");
  CHECK(std::string(json["cache"].GetString()) == data.folder / "cache");
  CHECK(std::filesystem::exists(data.folder / "cache"));
  CHECK_FALSE(std::filesystem::is_empty(data.folder / "cache"));
  CHECK(penumbra({"bench", "loader", data.folder / "absent.json"}).code == 3);
  CHECK(penumbra({"bench", "loader", data.list, "--warmup", "1"}).code == 2);
}

TEST_CASE("bench step: the first step's mask and its gradient, the same in every run") {
  const test::ScratchFolder scratch;
  std::vector<std::vector<std::uint8_t>> bytes;
  for (const std::string file : {"a.safetensors", "b.safetensors", "fine.safetensors"}) {
    const std::string path = scratch / file;
    const bool fine = file == "fine.safetensors";
    const Ended ended = penumbra(
        {"bench",      "step",    "--arch",   "resnet18", "--width", "0.125",    "--input_size",
         "32",         "--batch", "2",        "--steps",  "1",       "--warmup", file == "a.safetensors" ? "0" : "1",
         "--gradient", path,      "--device", "cpu",      "--json",  "--fuse",   fine ? "false" : "true"});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(parse_json(ended.out, "stdout")["labels"].Size() == 2);
    const auto tensors = SafetensorsFile::open(path);
    for (const char* const name : {"mask", "gradient"}) {
      const StoredTensor& t = tensors.at(name);
      CHECK(t.shape == (fine ? std::vector<std::int64_t>{2, 32, 32, 1} : std::vector<std::int64_t>{2, 8, 8, 1}));
      CHECK(std::any_of(t.bytes.begin(), t.bytes.end(), [](std::uint8_t b) { return b != 0; }));
    }
    bytes.push_back(read_file(path, 1 << 20));
  }
  CHECK(bytes[0] == bytes[1]);
}

TEST_CASE("bench kernels: every library kernel, with figures that follow from the times") {
  const Ended ended =
      penumbra({"bench", "kernels", "--arch", "resnet50", "--width", "0.125", "--input_size", "64", "--classes", "10",
                "--batch", "2", "--steps", "3", "--warmup", "1", "--device", "cpu", "--json"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto json = parse_json(ended.out, "stdout");
  for (const char* const ceiling : {"triad_bytes_per_s", "gemm_flops_per_s", "fma_flops_per_s"})
    CHECK(json["ceilings"][ceiling].GetDouble() > 1e8);
  CHECK(json["cpu_clock_ghz"].GetDouble() > 0.1);
  std::vector<std::string> seen;
  double forward_flops = 0;
  int forward_convolutions = 0;
  for (const auto& k : json["kernels"].GetArray()) {
    seen.emplace_back(k["kernel"].GetString());
    CHECK(k["min_s"].GetDouble() > 0);
    CHECK(k["min_s"].GetDouble() <= k["median_s"].GetDouble());
    CHECK(k["median_s"].GetDouble() <= k["max_s"].GetDouble());
    CHECK(k["bytes"].GetDouble() > 0);
    CHECK(k["gflops_per_s"].GetDouble() == doctest::Approx(k["flops"].GetDouble() / k["median_s"].GetDouble() / 1e9));
    CHECK(k["gbytes_per_s"].GetDouble() == doctest::Approx(k["bytes"].GetDouble() / k["median_s"].GetDouble() / 1e9));
    if (seen.back() != "conv2d_fwd") continue;
    forward_flops += k["flops"].GetDouble() * k["count"].GetInt();
    forward_convolutions += k["count"].GetInt();
  }
  CHECK(forward_convolutions == 53);
  CHECK(forward_flops > 0);
  std::size_t count = 0;
  const kernels::KernelInfo* const all = kernels::kernel_list(count);
  for (std::size_t i = 0; i < count; ++i)
    if (all[i].kind == std::string("library"))
      CHECK_MESSAGE(std::find(seen.begin(), seen.end(), all[i].name) != seen.end(), all[i].name,
                    " is not measured: add it to train/bench_kernel_cases.cpp");
  const Ended one = penumbra({"bench", "kernels", "--arch", "resnet18", "--width", "0.125", "--input_size", "32",
                              "--only", "max_pool_fwd", "--batch", "1", "--steps", "1", "--device", "cpu"});
  CHECK(one.code == 0);
  CHECK(contains(one.out, "max_pool_fwd"));
  CHECK(!contains(one.out, "conv2d_fwd"));
  const Ended none = penumbra({"bench", "kernels", "--only", "no_such_kernel", "--arch", "resnet18", "--width", "0.125",
                               "--input_size", "32", "--device", "cpu"});
  CHECK(none.code == 2);
  CHECK(contains(none.err, "no_such_kernel"));
}

TEST_CASE("bench memory: grows with the batch, and the line through it says how") {
  const Ended ended =
      penumbra({"bench",   "memory",    "--arch",   "resnet18", "--width",   "0.125",     "--input_size",
                "64",      "--classes", "10",       "--modes",  "fix,infer", "--batches", "1,2,4",
                "--steps", "1",         "--warmup", "1",        "--device",  "cpu",       "--json"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto json = parse_json(ended.out, "stdout");
  const auto& rows = json["rows"];
  REQUIRE(rows.Size() == 6);
  for (rapidjson::SizeType first : {0u, 3u}) {
    const double a = rows[first]["peak_tensor_bytes"].GetDouble(), b = rows[first + 1]["peak_tensor_bytes"].GetDouble(),
                 c = rows[first + 2]["peak_tensor_bytes"].GetDouble();
    CHECK(a < b);
    CHECK(b < c);
    const auto& mode = json["modes"][rows[first]["mode"].GetString()];
    CHECK(mode["bytes_per_image"].GetDouble() == doctest::Approx((c - a) / 3));
    CHECK(mode["fixed_bytes"].GetDouble() == doctest::Approx(a - (c - a) / 3));
    CHECK(rows[first]["peak_bytes"].GetInt64() > 0);
  }
  CHECK(penumbra({"bench", "memory", "--batches", "4,2"}).code == 2);
  CHECK(penumbra({"bench", "memory", "--modes", "fix,other"}).code == 2);
}

TEST_CASE("bench wsol: maps judged by every metric") {
  const Ended ended =
      penumbra({"bench", "wsol", "--maps", "5", "--input_size", "32", "--steps", "2", "--device", "cpu", "--json"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto json = parse_json(ended.out, "stdout");
  for (const char* const metric : {"MaxBoxAcc", "MaxBoxAccV2", "PxAP"}) {
    const auto& m = json["metrics"][metric];
    CHECK(m["passes"].Size() == 2);
    CHECK(m["min_maps_per_s"].GetDouble() > 0);
    CHECK(m["min_maps_per_s"].GetDouble() <= m["maps_per_s"].GetDouble());
    CHECK(m["maps_per_s"].GetDouble() <= m["max_maps_per_s"].GetDouble());
    CHECK(m["result"].GetDouble() >= 0);
    CHECK(m["result"].GetDouble() <= 100);
  }
  CHECK(contains(penumbra({"bench", "wsol", "--maps", "2", "--input_size", "32", "--steps", "1"}).out, "maps/s"));
  CHECK(penumbra({"bench", "wsol", "--batch", "2"}).code == 2);
}
