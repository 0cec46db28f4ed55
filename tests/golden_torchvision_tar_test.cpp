// resnet50-19c8e357.pth is a tar file of PyTorch 0.1. A file of its very structure and size (its own sys_info, pickle
// and tensors, and computed storages) loads as ResNet-50, fast and in little more memory than it is large.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <fstream>

#include "models/resnet.h"
#include "models/torch/file.h"
#include "models/torch/pickle.h"
#include "models/torch_checkpoint.h"
#include "tests/golden.h"
#include "tests/scratch.h"
#include "tests/shadow.h"

using namespace pen;
using namespace pen::test;

namespace {

std::string recorded_member(const std::string& name) {
  return slurp(golden_path("checkpoints/torchvision_tar/" + name));
}

template <class T>
std::string little(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

std::string header(const std::string& name, std::size_t size, char type) {
  std::string h(512, '\0');
  const auto field = [&](std::size_t at, const std::string& text) { h.replace(at, text.size(), text); };
  char octal[16];
  field(0, name);
  std::snprintf(octal, sizeof octal, "%011zo", size);
  field(124, octal);
  field(148, "        ");
  field(156, std::string(1, type));
  field(257, std::string("ustar\0"
                         "00",
                         8));
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  std::snprintf(octal, sizeof octal, "%06o", sum);
  field(148, std::string(octal) + '\0' + ' ');
  return h;
}

struct Stored {
  std::int64_t key = 0;
  std::int64_t count = 0;
};

// The storages that the recorded `tensors` member asks for.
std::vector<Stored> storages_of(const std::string& tensors) {
  const torch::Source source =
      torch::Source::memory({reinterpret_cast<const std::uint8_t*>(tensors.data()), tensors.size()}, "tensors");
  torch::Cursor in(source, "tensors", 0, tensors.size());
  torch::Values values(64 << 20);
  const torch::PersistentLoad none;
  const std::int64_t n = torch::unpickle(in, values, none)->integer;
  std::vector<Stored> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const torch::Value* head = torch::unpickle(in, values, none);
    CHECK(head->items.at(2)->text == "torch.FloatTensor");
    Stored s{head->items.at(1)->integer, 1};
    const auto dimensions = in.little<std::int32_t>();
    in.skip(4, "header");
    for (std::int32_t d = 0; d < dimensions; ++d) s.count *= in.little<std::int64_t>();
    in.skip(static_cast<std::uint64_t>(dimensions + 1) * 8, "strides");
    out.push_back(s);
  }
  CHECK(in.left() == 0);
  return out;
}

std::vector<float> values_of(const Stored& s) {
  std::vector<float> out = fill("storage." + std::to_string(s.key), {s.count});
  return out;
}

void write_tar(const std::string& path, std::size_t& storages_size) {
  std::ofstream out(path, std::ios::binary);
  const auto member = [&](const std::string& name, const std::string& data) {
    out << header("././@PaxHeader", 27, 'x') << "27 mtime=1483986443.887173\n" << std::string(512 - 27, '\0');
    out << header(name, data.size(), '0') << data << std::string((512 - data.size() % 512) % 512, '\0');
  };
  const std::string tensors = recorded_member("tensors");
  member("sys_info", recorded_member("sys_info"));
  member("pickle", recorded_member("pickle"));
  member("tensors", tensors);
  const std::vector<Stored> all = storages_of(tensors);
  std::string data = "\x80\x02M" + little(static_cast<std::uint16_t>(all.size())) + ".";
  for (const Stored& s : all) {
    data += "\x80\x02J" + little(static_cast<std::int32_t>(s.key));
    data += std::string("X\3\0\0\0cpuq\0ctorch\nFloatStorage\nq\1\x87q\2.", 36) + little(s.count);
    const std::vector<float> values = values_of(s);
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  }
  data += std::string("\x80\x02]q\0.", 6);
  storages_size = data.size();
  member("storages", data);
  out << std::string(1024, '\0');
}

std::size_t resident() {  // bytes of this process in memory now
  std::ifstream in("/proc/self/statm");
  std::size_t total = 0, now = 0;
  in >> total >> now;
  return now * 4096;
}

}  // namespace

TEST_CASE("a full-size file of the structure of resnet50-19c8e357.pth loads as ResNet-50") {
  const ScratchFolder folder;
  const std::string path = folder / "weights.bin";  // the name says nothing
  std::size_t storages_size = 0;
  write_tar(path, storages_size);
  CHECK(storages_size == 102'454'237);  // as in the real file
  const auto size = static_cast<double>(std::filesystem::file_size(path));
  CHECK(size > 102.4e6);

  const std::size_t before = resident();
  const auto start = std::chrono::steady_clock::now();
  const Checkpoint c = read_checkpoint(path);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto grown = static_cast<double>(resident() - before) / resident_per_byte;
  std::printf("tar of %.1f MB read in %.3f s, resident memory grew by %.2f of its size\n", size * 1e-6, took.count(),
              grown / size);
  CHECK(grown < 1.2 * size);

  CHECK(c.parts.size() == 1);
  const StateDict& state = c.parts.at("state_dict_classifier");
  CHECK(state.size() == 267);
  const auto classifier = load_classifier(c);
  CHECK(classifier->arch() == "resnet50");
  CHECK(classifier->classes() == 1000);
  // Every tensor is the one that its storage was computed for.
  std::map<std::int64_t, std::vector<float>> expected;
  const auto file = torch::File::open(path);
  CHECK(file->format() == torch::Format::tar);
  std::map<std::string, std::string> key;
  for (std::size_t i = 0; i < file->root().items.size(); i += 2)
    key[file->root().items[i]->text] = file->root().items[i + 1]->tensor->storage->key;
  std::size_t compared = 0;
  for (const NamedTensor& t : classifier->state()) {
    CAPTURE(t.name);
    if (t.name.ends_with("num_batches_tracked")) {
      CHECK_FALSE(key.count(t.name));
      continue;
    }
    REQUIRE(key.count(t.name) == 1);
    CHECK(t.tensor.to_vector<float>() == fill("storage." + key.at(t.name), {t.tensor.numel()}));
    ++compared;
  }
  CHECK(compared == 267);
}
