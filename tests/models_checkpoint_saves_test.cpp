// Checkpoints written by this program: round trips through every format to the bit, and kill -9 in the middle of saves.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <fstream>
#include <thread>

#include "models/checkpoint_tools.h"
#include "models/torch/write.h"
#include "models/torch/zip.h"
#include "models/torch/zip_writer.h"
#include "models/torch_checkpoint.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

// A checkpoint whose every element says which save it is of.
Checkpoint numbered(std::int64_t step) {
  Checkpoint out;
  out.facts["step"] = std::to_string(step);
  for (int i = 0; i < 20; ++i)
    out.parts["state_dict_classifier"].push_back(
        {str("layer", i, ".weight"), Tensor::full({64, 65}, static_cast<double>(step + i))});
  return out;
}

void check_numbered(const std::string& path, std::int64_t step) {
  const Checkpoint got = read_checkpoint(path);
  CHECK(got.integer("step") == step);
  const StateDict& state = got.parts.at("state_dict_classifier");
  REQUIRE(state.size() == 20);
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> values = state[static_cast<std::size_t>(i)].tensor.to_vector<float>();
    CHECK(values == std::vector<float>(64 * 65, static_cast<float>(step + i)));
  }
}

// Every save is a new file under the old name. 0: there is none.
ino_t inode(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

Checkpoint with_everything() {
  Rng rng(3);
  Checkpoint out;
  const auto classifier = make_classifier({"resnet18", 3, 0.125}, rng);
  describe_classifier(*classifier, 0.125, 32, out);
  MaskerOptions options;
  options.tap_widths = classifier->tap_widths();
  options.use_layers = {3, 4};
  Masker masker(options, rng);
  describe_masker(options, out);
  out.parts["state_dict_classifier"] = copy_state(*classifier);
  out.parts["state_dict_masker"] = copy_state(masker);
  for (const NamedTensor& p : masker.parameters())
    for (const char* entry : {".exp_avg", ".exp_avg_sq"})
      out.parts["optimizer_masker"].push_back({p.name + entry, Tensor::full(p.tensor.shape(), rng.uniform())});
  out.facts["optimizer_masker_steps"] = "17";
  out.facts["optimizer_masker_group"] = R"({"lr": 0.001, "betas": [0.9, 0.999]})";
  out.facts["epoch"] = "4";
  out.facts["args"] = R"({"name": "x", "lambda_tv": 0.1, "list": [1, null, true]})";
  out.parts["state_dict_extra"] = {{"a", Tensor::full({2, 3}, 0.5, DType::f64)}, {"b", Tensor::zeros({0, 4})}};
  out.parts["zoo.0"] = copy_state(*classifier);
  out.parts["zoo.1"] = copy_state(*make_classifier({"resnet18", 3, 0.125}, rng));
  return out;
}

}  // namespace

TEST_CASE("a checkpoint written in any format is the same when it is read: parts, order, bits, facts") {
  const ScratchFolder folder;
  const Checkpoint out = with_everything();
  write_checkpoint(folder / "zip.chk", out);
  write_torch(folder / "legacy.chk", out, torch::Format::legacy);
  write_checkpoint(folder / "x.safetensors", out);
  for (const char* name : {"zip.chk", "legacy.chk", "x.safetensors"}) {
    CAPTURE(name);
    const Checkpoint got = read_checkpoint(folder / name);
    CHECK(got.facts == out.facts);
    CHECK(got.parts.size() == out.parts.size());
    for (const auto& [part, state] : out.parts) {
      CAPTURE(part);
      REQUIRE(got.has(part));
      REQUIRE(got.parts.at(part).size() == state.size());
      for (std::size_t i = 0; i < state.size(); ++i) {
        CHECK(got.parts.at(part)[i].name == state[i].name);
        CHECK(same_bytes(got.parts.at(part)[i].tensor, state[i].tensor));
      }
    }
    CHECK(load_masker(got)->options().use_layers == std::vector<int>{3, 4});
    CHECK(load_classifier(got)->arch() == out.fact("arch"));
  }
  // As PyTorch writes them: payloads at multiples of 64, checksums right.
  const auto source = torch::Source::open(folder / "zip.chk");
  torch::Budget budget(1 << 24);
  const auto entries = torch::read_zip_directory(source, budget);
  CHECK(entries.front().name == "archive/data.pkl");
  for (const auto& e : entries) CHECK(e.at % 64 == 0);
  CHECK(verify_checkpoint(folder / "zip.chk").sums == entries.size());
}

TEST_CASE("a file with the reference's keys alone: networks, masker options and optimizers come from them") {
  const ScratchFolder folder;
  Rng rng(8);
  const auto classifier = make_classifier({"resnet18", 4, 0.125}, rng);
  MaskerOptions o;
  o.tap_widths = classifier->tap_widths();
  o.use_layers = {1, 4};
  o.bilinear = o.add_prob_layers = o.add_class_ids = o.apply_gumbel = true;
  o.classes = 4;
  o.gumbel_tau = 0.2;
  o.gumbel_mode = GumbelMode::soft;
  const Masker masker(o, rng);
  Checkpoint out;
  out.facts["epoch"] = "60";
  out.facts["args"] =
      R"({"masker_use_layers": "1,4", "upsample": "bilinear", "add_prob_layers": true, "add_class_ids": true,
                          "apply_gumbel": true, "apply_gumbel_tau": 0.2, "gumbel_output_mode": "soft"})";
  out.parts["state_dict_classifier"] = copy_state(*classifier);
  out.parts["state_dict_masker"] = copy_state(masker);
  for (const NamedTensor& p : classifier->parameters())
    out.parts["optimizer_classifier"].push_back(
        {p.name + ".momentum_buffer", Tensor::full(p.tensor.shape(), static_cast<double>(p.name.size()))});
  torch::Values values(UINT64_MAX);
  torch::Value* root = value_of(out, values);
  REQUIRE(root->items[root->items.size() - 2]->text == "penumbra");
  root->items.resize(root->items.size() - 2);
  // PyTorch up to 1.4 numbers parameters by their addresses, and states come in any order.
  const torch::Value* optimizer = root->find("optimizer_classifier");
  std::int64_t address = 139'900'000'000'000;
  for (torch::Value* id : optimizer->find("param_groups")->items[0]->find("params")->items) id->integer = address -= 64;
  auto* states = const_cast<torch::Value*>(optimizer->find("state"));
  std::reverse(states->items.begin(), states->items.end());
  for (std::size_t i = 0; i < states->items.size(); i += 2) std::swap(states->items[i], states->items[i + 1]);
  for (const auto format : {torch::Format::zip, torch::Format::legacy}) {
    torch::write_file(folder / "ref.chk", *root, format);
    const Checkpoint got = read_checkpoint(folder / "ref.chk");
    CHECK(got.fact("epoch") == "60");
    const auto loaded = load_masker(got);
    const MaskerOptions& m = loaded->options();
    CHECK(m.use_layers == o.use_layers);
    CHECK(m.bilinear);
    CHECK(m.add_prob_layers);
    CHECK(m.add_class_ids);
    CHECK(m.classes == 4);
    CHECK(m.apply_gumbel);
    CHECK(m.gumbel_tau == 0.2);
    CHECK(m.gumbel_mode == GumbelMode::soft);
    CHECK(m.tap_widths == o.tap_widths);
    CHECK(load_classifier(got)->classes() == 4);
    const StateDict& sgd = got.parts.at("optimizer_classifier");
    REQUIRE(sgd.size() == classifier->parameters().size());
    for (std::size_t i = 0; i < sgd.size(); ++i) {
      CHECK(sgd[i].name == classifier->parameters()[i].name + ".momentum_buffer");
      CHECK(same_bytes(sgd[i].tensor, out.parts.at("optimizer_classifier")[i].tensor));
    }
  }
  // Options that are none: the file's fault.
  out.facts["args"] = R"({"masker_use_layers": "7"})";
  root = value_of(out, values);
  root->items.resize(root->items.size() - 2);
  torch::write_file(folder / "wrong.chk", *root, torch::Format::zip);
  check_error(ErrorKind::checkpoint, {folder / "wrong.chk", "masker_use_layers"},
              [&] { load_masker(read_checkpoint(folder / "wrong.chk")); });
}

TEST_CASE("zip files beyond 4 GB: the 64-bit fields are written and read") {
  const ScratchFolder folder;
  {
    AtomicFile file(folder / "wide.zip");
    torch::ZipWriter zip(file, 100);
    zip.add("a/small", "x");
    zip.add("a/large", std::string(1000, 'y'));
    zip.add("a/behind", "z");
    zip.finish();
    file.commit();
  }
  const auto source = torch::Source::open(folder / "wide.zip");
  torch::Budget budget(1 << 20);
  const auto entries = torch::read_zip_directory(source, budget);
  REQUIRE(entries.size() == 3);
  CHECK(entries[1].size == 1000);
  for (const auto& e : entries) CHECK(torch::crc_of(source, e.at, e.size) == e.crc);
  std::string bytes(1, '\0');
  source.read(entries[2].at, bytes.data(), 1);
  CHECK(bytes == "z");
}

TEST_CASE("half floats and bfloat16: zeros, subnormals, largest, infinity, NaN") {
  CHECK(torch::half_to_float(0x3c00) == 1.0f);
  CHECK(torch::half_to_float(0xc000) == -2.0f);
  CHECK(torch::half_to_float(0x7bff) == 65504.0f);
  CHECK(torch::half_to_float(0x0001) == 0x1p-24f);
  CHECK(torch::half_to_float(0x83ff) == -1023 * 0x1p-24f);
  CHECK(torch::half_to_float(0x0400) == 0x1p-14f);
  CHECK(std::bit_cast<std::uint32_t>(torch::half_to_float(0x8000)) == 0x80000000u);
  CHECK(torch::half_to_float(0xfc00) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(torch::half_to_float(0x7e00)));
  const std::uint16_t brain[] = {0x3f80, 0xc049, 0x7f80};
  float out[3];
  torch::widen(torch::Scalar::bf16, brain, 3, out);
  CHECK(out[0] == 1.0f);
  CHECK(out[1] == -3.140625f);
  CHECK(out[2] == std::numeric_limits<float>::infinity());
}

TEST_CASE("kill -9 at random moments of 200 saves: the newest complete file loads") {
  const ScratchFolder folder;
  const std::string last = folder / "last.chk";
  Rng rng(5);
  std::int64_t saved = 0;
  int killed_in_save = 0;
  for (int round = 0; saved < 200; ++round) {
    REQUIRE(round < 200);
    const ino_t before = inode(last);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (std::int64_t step = saved + 1;; ++step) {
        write_checkpoint(last, numbered(step));
        write_checkpoint(folder / str("epoch_", step % 3, ".chk"), numbered(step));
      }
    }
    // At least one save, and then anywhere in the next ones.
    for (int i = 0; i < 30000 && inode(last) == before; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(20000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CAPTURE(round);
    const std::int64_t step = read_checkpoint(last).integer("step");
    CHECK(step > saved);
    check_numbered(last, step);
    saved = step;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      const std::string path = entry.path().string();
      if (contains(path, ".tmp-")) {
        ++killed_in_save;  // what was being written
        std::filesystem::remove(path);
      } else {
        check_numbered(path, read_checkpoint(path).integer("step"));
      }
    }
  }
  CHECK(killed_in_save > 0);
  MESSAGE(saved, " saves, ", killed_in_save, " of them cut off");
}
