// Files of PyTorch, both formats, against their recorded contents; hostile and cut ones are refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "models/torch/zip.h"
#include "models/torch/zip_writer.h"
#include "models/torch_checkpoint.h"
#include "tests/golden.h"
#include "tests/program.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::test;
using torch::Kind;
using torch::Value;

namespace {

const Golden& recorded() {
  static const Golden file("checkpoints.safetensors");
  return file;
}

std::string recorded_file(const std::string& name) { return golden_path("checkpoints/" + name + ".pth"); }

void check_equal(const Tensor& got, const std::string& name) {
  CAPTURE(name);
  CHECK(got.shape() == recorded().shape(name));
  switch (got.dtype()) {
    case DType::f32:
      CHECK(got.to_vector<float>() == recorded().f32(name));
      return;
    case DType::f64:
      CHECK(got.to_vector<double>() == recorded().f64(name));
      return;
    case DType::i32: {
      const std::vector<std::int32_t> values = got.to_vector<std::int32_t>();
      CHECK(std::vector<std::int64_t>(values.begin(), values.end()) == recorded().i64(name));
      return;
    }
    case DType::i64:
      CHECK(got.to_vector<std::int64_t>() == recorded().i64(name));
      return;
    default:
      FAIL("unexpected dtype");
  }
}

// The names of a state dict "net.*" in the order of the module.
const std::vector<std::string> net{"conv1.weight",     "bn1.weight",      "bn1.bias",
                                   "bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked",
                                   "fc.weight",        "fc.bias"};

void check_net(const StateDict& state) {
  REQUIRE(state.size() == net.size());
  for (std::size_t i = 0; i < net.size(); ++i) {
    CHECK(state[i].name == net[i]);
    check_equal(state[i].tensor, "net." + net[i]);
  }
}

const std::vector<std::string> formats{"zip", "legacy"};

}  // namespace

TEST_CASE("a state dict, in both formats") {
  for (const std::string& format : formats) {
    CAPTURE(format);
    const Checkpoint c = read_checkpoint(recorded_file("state_dict." + format));
    REQUIRE(c.parts.size() == 1);
    check_net(c.parts.at("state_dict_classifier"));
  }
}

TEST_CASE("all element types, views, shared storages, parameters, a scalar and an empty tensor") {
  for (const std::string& format : formats) {
    CAPTURE(format);
    const auto file = torch::File::open(recorded_file("odd." + format));
    std::size_t tensors = 0;
    std::map<std::string, const torch::Storage*> storages;
    for (std::size_t i = 0; i < file->root().items.size(); i += 2) {
      const std::string name = "odd." + file->root().items[i]->text;
      CAPTURE(name);
      const Value& v = *file->root().items[i + 1];
      REQUIRE(v.is(Kind::tensor));
      storages[name] = v.tensor->storage.get();
      ++tensors;
      if (name == "odd.f16") {
        std::vector<std::uint16_t> half(v.tensor->numel());
        file->read(*v.tensor, half.data());
        CHECK(half == recorded().f16_bits(name));
      }
      Tensor t = Tensor::empty(v.tensor->shape, torch::memory_type(v.tensor->type));
      if (t.numel() > 0) file->read_widened(*v.tensor, t.mutable_bytes());
      if (name == "odd.f16") {
        CHECK(t.dtype() == DType::f32);
        const std::vector<std::uint16_t> bits = recorded().f16_bits(name);
        const std::vector<float> got = t.to_vector<float>();
        REQUIRE(got.size() == bits.size());
        for (std::size_t e = 0; e < bits.size(); ++e) CHECK(got[e] == torch::half_to_float(bits[e]));
      } else if (name == "odd.flag" || name == "odd.u8") {
        CHECK(t.shape() == recorded().shape(name));
        CHECK(t.to_vector<std::uint8_t>() == recorded().u8(name));
      } else {
        check_equal(t, name);
      }
    }
    std::size_t expected = 0;
    for (const std::string& name : recorded().names()) expected += name.starts_with("odd.");
    CHECK(tensors == expected);
    CHECK(storages.at("odd.shared_a") == storages.at("odd.shared_b"));
    CHECK(storages.at("odd.shared_a") == storages.at("odd.transposed"));
    CHECK(storages.at("odd.scalar") != storages.at("odd.f64"));
    CHECK(file->check_sums() == (format == "zip" ? file->storages().size() + 2 : 0));
    // As a checkpoint too; widened halves keep their values.
    const Checkpoint c = read_checkpoint(recorded_file("odd." + format));
    CHECK(c.parts.at("state_dict_classifier").size() == expected);
  }
}

TEST_CASE("a file of a big-endian machine holds the same values, in views too") {
  const ScratchFolder folder;
  const std::string path = recorded_file("odd.zip"), other = folder / "big.pth";
  const auto file = torch::File::open(path);
  {
    // The same archive with the bytes of every storage's elements turned round, and a word that says so.
    const std::vector<std::uint8_t> bytes = read_file(path, 1 << 20);
    const auto source = torch::Source::memory(bytes, path);
    torch::Budget budget(1 << 20);
    AtomicFile out(other);
    torch::ZipWriter zip(out);
    std::string top;
    for (const torch::ZipEntry& e : torch::read_zip_directory(source, budget)) {
      std::string data(bytes.begin() + static_cast<std::ptrdiff_t>(e.at),
                       bytes.begin() + static_cast<std::ptrdiff_t>(e.at + e.size));
      for (const auto& storage : file->storages()) {
        if (storage->entry != e.name) continue;
        const std::size_t element = torch::size_of(storage->type);
        for (std::size_t at = 0; at + element <= data.size(); at += element)
          std::reverse(data.begin() + static_cast<std::ptrdiff_t>(at),
                       data.begin() + static_cast<std::ptrdiff_t>(at + element));
      }
      top = e.name.substr(0, e.name.find('/') + 1);
      if (e.name != top + "byteorder") zip.add(e.name, data);
    }
    zip.add(top + "byteorder", "big");
    zip.finish();
    out.commit();
  }
  const auto big = torch::File::open(other);
  REQUIRE(big->root().items.size() == file->root().items.size());
  std::size_t views = 0;
  for (std::size_t i = 0; i < file->root().items.size(); i += 2) {
    CAPTURE(file->root().items[i]->text);
    const torch::TensorInfo &a = *file->root().items[i + 1]->tensor, &b = *big->root().items[i + 1]->tensor;
    std::vector<std::uint8_t> want(a.bytes()), got(b.bytes());
    file->read(a, want.data());
    big->read(b, got.data());
    CHECK(got == want);
    views += !a.contiguous();
  }
  CHECK(views > 0);
}

TEST_CASE("a training checkpoint of the reference: epoch, both networks, both optimizers, args") {
  for (const std::string& format : formats) {
    CAPTURE(format);
    const Checkpoint c = read_checkpoint(recorded_file("train." + format));
    CHECK(c.fact("epoch") == recorded().meta("train_epoch"));
    check_net(c.parts.at("state_dict_classifier"));
    check_net(c.parts.at("state_dict_masker"));
    const std::vector<std::string> parameters{"conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"};
    const StateDict &adam = c.parts.at("optimizer_masker"), &sgd = c.parts.at("optimizer_classifier");
    REQUIRE(adam.size() == 10);
    REQUIRE(sgd.size() == 5);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      CHECK(sgd[i].name == parameters[i] + ".momentum_buffer");
      check_equal(sgd[i].tensor, str("sgd.", i, ".momentum_buffer"));
      CHECK(adam[2 * i].name == parameters[i] + ".exp_avg");
      check_equal(adam[2 * i].tensor, str("adam.", i, ".exp_avg"));
      CHECK(adam[2 * i + 1].name == parameters[i] + ".exp_avg_sq");
      check_equal(adam[2 * i + 1].tensor, str("adam.", i, ".exp_avg_sq"));
      CHECK(c.integer("optimizer_masker_steps") ==
            static_cast<std::int64_t>(recorded().f64(str("adam.", i, ".step"))[0]));
    }
    CHECK(c.integer("optimizer_classifier_steps") == 1);
    const rapidjson::Document group = parse_json(c.fact("optimizer_masker_group"), "group");
    CHECK(group["betas"].Size() == 2);
    CHECK(group["eps"].GetDouble() == doctest::Approx(1e-8));
    CHECK_FALSE(group.HasMember("params"));
  }
}

TEST_CASE("args: every option of the reference's run, and those of the masker as facts") {
  const rapidjson::Document want = parse_json(recorded().meta("train_args"), "recorded");
  for (const std::string& format : formats) {
    CAPTURE(format);
    const Checkpoint c = read_checkpoint(recorded_file("train." + format));
    const rapidjson::Document got = parse_json(c.fact("args"), "args");
    CHECK(got.MemberCount() == want.MemberCount());
    for (const auto& m : want.GetObject()) {
      const std::string name = m.name.GetString();
      CAPTURE(name);
      REQUIRE(got.HasMember(name.c_str()));
      // The recording has Python's repr of what JSON cannot say.
      if (name == "nested") {
        const auto& nested = got[name.c_str()];
        CHECK(std::string(m.value.GetString()) == "[1, (2, 3), {'a': None}, {1, 2}]");
        REQUIRE(nested.Size() == 4);
        CHECK(nested[0].GetInt64() - 1 == 0);
        CHECK(nested[1].Size() == 2);
        CHECK(nested[2]["a"].IsNull());
        CHECK(nested[3].Size() == 2);
      } else if (m.value.IsNumber()) {
        CHECK(got[name.c_str()].GetDouble() == m.value.GetDouble());
      } else {
        REQUIRE(got[name.c_str()].GetType() == m.value.GetType());
        if (m.value.IsString()) CHECK(std::string(got[name.c_str()].GetString()) == m.value.GetString());
      }
    }
    CHECK(c.fact("masker_use_layers") == "3,4");
    CHECK(c.fact("upsample") == "nearest");
    CHECK(c.fact("add_prob_layers") == "false");
    CHECK(c.fact("apply_gumbel_tau") == "0.1");
  }
}

TEST_CASE("PyTorch's ImageNet script: module. is dropped, best_acc1 kept") {
  for (const std::string& format : formats) {
    CAPTURE(format);
    const Checkpoint c = read_checkpoint(recorded_file("imagenet_script." + format));
    check_net(c.parts.at("state_dict_classifier"));
    CHECK(c.facts.count("best_acc1") == 1);
  }
}

TEST_CASE("CASME's files: the decoder is the masker, a Namespace is its options") {
  for (const std::string& format : formats) {
    CAPTURE(format);
    const Checkpoint c = read_checkpoint(recorded_file("old_namespace." + format));
    check_net(c.parts.at("state_dict_classifier"));
    check_net(c.parts.at("state_dict_masker"));
    CHECK(c.fact("masker_use_layers") == "0,1,2,3,4");
    CHECK(contains(c.fact("args"), "\"hp\""));
  }
}

TEST_CASE("hostile files are refused before anything is made of them; nothing runs") {
  for (const std::string& format : formats) {
    const std::string path = recorded_file("evil." + format);
    check_error(ErrorKind::checkpoint, {"'" + path + "'", "byte ", "GLOBAL", "posix.system"},
                [&] { read_checkpoint(path); });
  }
  CHECK_FALSE(std::filesystem::exists("pwned.txt"));
}

TEST_CASE("cut files are refused with the byte they end at") {
  const ScratchFolder folder;
  for (const std::string name :
       {"resnet50-19c8e357.pth.trunc", "resnet18-5c106cde.pth.trunc", "resnet18-f37072fd.pth.trunc"}) {
    const std::vector<std::uint8_t> bytes = golden_bytes("checkpoints/" + name);
    const std::string path = folder / name;
    put(path, std::string(bytes.begin(), bytes.end()));
    check_error(ErrorKind::checkpoint, {"'" + path + "'", str("byte ", bytes.size(), ":")},
                [&] { read_checkpoint(path); });
  }
  for (const std::string& format : formats) {
    const std::string path = recorded_file("truncated.state_dict." + format);
    check_error(ErrorKind::checkpoint,
                {"'" + path + "'", str("byte ", std::filesystem::file_size(path), ":"), "the file "},
                [&] { read_checkpoint(path); });
  }
  // Cut anywhere: never accepted.
  for (const std::string& format : formats) {
    const std::string whole = slurp(recorded_file("train." + format));
    for (std::size_t n = 0; n < whole.size(); n += 1 + whole.size() / 500) {
      const auto bytes = std::span(reinterpret_cast<const std::uint8_t*>(whole.data()), n);
      check_error(ErrorKind::checkpoint, {"'x'", "byte "},
                  [&] { torch::File::parse(torch::Source::memory(bytes, "x")); });
    }
  }
}
