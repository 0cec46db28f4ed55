// Round trips with PyTorch itself (Debian's python3-torch, or the Python of $PENUMBRA_PYTHON): skipped where it is
// absent.
#include <doctest/doctest.h>

#include <zlib.h>

#include <bit>

#include "models/torch/write.h"
#include "models/torch_checkpoint.h"
#include "tests/golden.h"
#include "tests/skip.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;
using torch::Kind;
using torch::Value;

namespace {

// What torch_check.py prints; the test fails if it ends with an error.
std::string python(const std::string& interpreter, const Words& words) {
  const ScratchFolder folder;
  std::string command = shell_quoted(interpreter) + " " + shell_quoted(tests_folder() + "/torch_check.py");
  for (const std::string& word : words) command += " " + shell_quoted(word);
  const int status = std::system((command + " >" + folder / "out" + " 2>" + folder / "err" + " </dev/null").c_str());
  CHECK_MESSAGE(status == 0, slurp(folder / "err"));
  return slurp(folder / "out");
}

// A Python that has PyTorch, "" if there is none.
const std::string& with_torch() {
  static const std::string found = [] {
    const char* given = std::getenv("PENUMBRA_PYTHON");
    for (const std::string& candidate : {std::string(given ? given : "python3"), std::string("/usr/bin/python3")})
      if (std::system((shell_quoted(candidate) + " -c 'import torch' >/dev/null 2>&1").c_str()) == 0) return candidate;
    return std::string();
  }();
  return found;
}

// A leaf as torch_check.py prints it.
std::string repr(const Value& v) {
  if (v.is(Kind::text)) return "'" + v.text + "'";
  if (!v.is(Kind::real)) return describe(v);
  char bits[32];
  std::snprintf(bits, sizeof bits, "float %016llx",
                static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(v.real)));
  return bits;
}

void list(const torch::File& file, const Value& v, const std::string& path, std::string& out) {
  if (v.is(Kind::dict)) {
    for (std::size_t i = 0; i < v.items.size(); i += 2) {
      const Value& key = *v.items[i];
      list(file, *v.items[i + 1], path + "/" + (key.is(Kind::text) ? key.text : describe(key)), out);
    }
  } else if (v.is(Kind::list) || v.is(Kind::tuple)) {
    for (std::size_t i = 0; i < v.items.size(); ++i) list(file, *v.items[i], path + "/" + std::to_string(i), out);
  } else if (v.is(Kind::tensor)) {
    std::vector<std::uint8_t> bytes(v.tensor->bytes() + 1);
    file.read(*v.tensor, bytes.data());
    std::string shape;
    for (const std::int64_t d : v.tensor->shape) shape += (shape.empty() ? "" : "x") + std::to_string(d);
    char sum[16];
    std::snprintf(sum, sizeof sum, "%08lx", ::crc32(0, bytes.data(), static_cast<uInt>(v.tensor->bytes())));
    out += path + " " + torch_name(v.tensor->type) + " [" + shape + "] " + sum + "\n";
  } else {
    out += path + " " + repr(v) + "\n";
  }
}

std::string listed(const std::string& path) {
  const auto file = torch::File::open(path);
  std::string out;
  list(*file, file->root(), "", out);
  return out;
}

// Line by line, so that a difference is readable.
void check_lines(const std::string& a, const std::string& b) {
  std::istringstream x(a), y(b);
  std::string p, q;
  std::size_t n = 0;
  while (std::getline(x, p)) {
    REQUIRE(std::getline(y, q));
    CHECK(p == q);
    ++n;
  }
  CHECK_FALSE(std::getline(y, q));
  CHECK(n > 4);
}

// What PyTorch lists of each file; importing it takes seconds, so all of them are listed in one go.
std::vector<std::string> listed_by_torch(const std::string& command, const Words& files) {
  const std::string said = python(with_torch(), Words{command} + files);
  std::vector<std::string> out;
  for (std::size_t at = 0, end; (end = said.find("---\n", at)) != std::string::npos; at = end + 4)
    out.push_back(said.substr(at, end - at));
  REQUIRE(out.size() == files.size());
  return out;
}

}  // namespace

TEST_CASE("torch.save in both formats is read as PyTorch reads it, converted and read by PyTorch again") {
  if (with_torch().empty()) PEN_SKIP("python3-torch is not installed");
  const ScratchFolder folder;
  const std::string said = python(with_torch(), {"save", folder.path()});
  Words all;
  for (const std::string format : {"zip", "legacy"}) {
    CAPTURE(format);
    const std::string path = folder / (format + ".pth");
    check_lines(said, listed(path));
    const auto file = torch::File::open(path);
    CHECK(name_of(file->format()) == format);
    // Ours of it, in both formats again: all values, types and strides.
    for (const auto to : {torch::Format::zip, torch::Format::legacy}) {
      const std::string ours = folder / (format + "-" + name_of(to) + ".pth");
      torch::write_file(ours, file->root(), to, file.get());
      check_lines(said, listed(ours));
      all.push_back(ours);
      // Views still share one storage.
      CHECK(torch::File::open(ours)->storages().size() == file->storages().size());
    }
  }
  for (const std::string& lines : listed_by_torch("list", all)) check_lines(said, lines);
}

TEST_CASE("a training checkpoint of ours is read by PyTorch, and its optimizers go on in PyTorch's") {
  if (with_torch().empty()) PEN_SKIP("python3-torch is not installed");
  const TrainingData data;
  const Ended ended = penumbra(data.train("ca", {"--max_steps", "3", "--zoo_mode", "historic", "--prob_historic", "0.5",
                                                 "--save_freq", "1", "--f_size", "2"}));
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const std::string ours = data.at("ca");
  const std::string lines = listed(ours);
  // The same as a legacy file, for PyTorch before 1.6.
  const auto file = torch::File::open(ours);
  const ScratchFolder folder;
  const std::string legacy = folder / "legacy.chk";
  torch::write_file(legacy, file->root(), torch::Format::legacy, file.get());
  for (const std::string& by_torch : listed_by_torch("list", {ours, legacy})) check_lines(lines, by_torch);
  check_same(ours, legacy);
  for (const std::string part : {"/epoch 0", "/args/lambda_tv", "/args/masker_use_layers",
                                 "/state_dict_classifier/conv1.weight float32 [8x3x7x7]", "/state_dict_masker/",
                                 "/optimizer_masker/state/0/exp_avg ", "/optimizer_masker/state/0/step 3",
                                 "/optimizer_classifier/state/0/momentum_buffer ",
                                 "/optimizer_classifier/param_groups/0/lr float 3f50624dd2f1a9fc"})
    CHECK_MESSAGE(contains(lines, part), part);
  const std::string said = python(with_torch(), {"optimizers", ours, legacy});
  for (const char* network : {"classifier ", "masker "}) CHECK(said.find(network) != said.rfind(network));
}

TEST_CASE("weights of ours are read in PyTorch's weights_only mode, in both formats") {
  if (with_torch().empty()) PEN_SKIP("python3-torch is not installed");
  const ScratchFolder folder;
  Rng rng(1);
  Checkpoint out;
  out.parts["state_dict_classifier"] = copy_state(*make_classifier({"resnet18", 5, 0.125}, rng));
  out.facts["epoch"] = "70000";
  const Words files{folder / "zip", folder / "legacy"};
  write_torch(files[0], out, torch::Format::zip);
  write_torch(files[1], out, torch::Format::legacy);
  const std::vector<std::string> by_torch = listed_by_torch("weights", files);
  for (std::size_t i = 0; i < files.size(); ++i) check_lines(listed(files[i]), by_torch[i]);
}
