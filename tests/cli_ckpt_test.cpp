// penumbra ckpt: inspect, convert, verify, diff.
#include <doctest/doctest.h>

#include <limits>

#include "base/json.h"
#include "models/checkpoint.h"
#include "tests/golden.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::test;

namespace {

std::string recorded(const std::string& name) { return golden_path("checkpoints/" + name + ".pth"); }

Ended ok(const std::vector<std::string>& words) {
  Ended ended = penumbra(words);
  CHECK_MESSAGE(ended.code == 0, ended.err);
  return ended;
}

void refused(int code, const std::vector<std::string>& words, const std::string& part) {
  const Ended ended = penumbra(words);
  CHECK(ended.code == code);
  CHECK_MESSAGE(contains(ended.err, part), ended.err);
  CHECK(ended.out.empty());
}

}  // namespace

TEST_CASE("inspect: the tree with shapes, types, sizes and moments; the same as JSON") {
  const std::string text = ok({"ckpt", "inspect", recorded("train.legacy")}).out;
  for (const char* part : {": legacy, 7.3 kB, ", "epoch ", "state_dict_masker ", "OrderedDict of 8", "conv1.weight",
                           "float32   (4, 3, 3, 3)", "param_groups ", "lambda_tv ", "0.001", "'fix___1'",
                           "1180591620717411303424", "num_batches_tracked", "int64"})
    CHECK_MESSAGE(contains(text, part), part, "\n", text);
  const rapidjson::Document json = parse_json(ok({"ckpt", "inspect", recorded("odd.zip"), "--json"}).out, "inspect");
  CHECK(std::string(json["format"].GetString()) == "zip");
  const Golden golden("checkpoints.safetensors");
  bool found = false;
  for (const auto& t : json["tensors"].GetArray()) {
    if (std::string(t["name"].GetString()) != "transposed") continue;
    found = true;
    const std::vector<float> values = golden.f32("odd.transposed");
    double sum = 0;
    for (const float v : values) sum += static_cast<double>(v);
    CHECK(t["mean"].GetDouble() == doctest::Approx(sum / static_cast<double>(values.size())));
    CHECK(t["max"].GetDouble() == static_cast<double>(*std::max_element(values.begin(), values.end())));
    CHECK(t["shape"][0].GetInt64() - 8 == 0);
    CHECK(std::string(t["dtype"].GetString()) == "float32");
  }
  CHECK(found);
  // An object of an unknown class prints, nothing more.
  CHECK(contains(ok({"ckpt", "inspect", recorded("old_namespace.zip")}).out, "object of class argparse.Namespace"));
}

TEST_CASE("convert keeps everything, between all formats; diff says so, and what differs") {
  const ScratchFolder folder;
  const std::string zip = recorded("train.zip"), legacy = folder / "legacy.chk", back = folder / "back.chk",
                    flat = folder / "flat.safetensors", again = folder / "again.chk";
  ok({"ckpt", "convert", zip, legacy, "--format", "legacy"});
  ok({"ckpt", "convert", legacy, back});
  ok({"ckpt", "convert", back, flat});
  ok({"ckpt", "convert", flat, again});
  CHECK(slurp(legacy).substr(0, 4) == "\x80\x02\x8a\x0a");
  CHECK(slurp(back).substr(0, 4) == "PK\x03\x04");
  for (const std::string& other : {legacy, back, flat, again})
    CHECK(contains(ok({"ckpt", "diff", zip, other}).out, "equal: all tensors and facts"));
  refused(2, {"ckpt", "convert", zip, back}, "is there already");
  ok({"ckpt", "convert", zip, back, "--overwrite"});
  // Weights alone stay a plain state dict.
  ok({"ckpt", "convert", recorded("state_dict.zip"), folder / "w.safetensors"});
  ok({"ckpt", "convert", folder / "w.safetensors", folder / "w.pth"});
  CHECK(ok({"ckpt", "inspect", folder / "w.pth"}).out.find("\nconv1.weight") != std::string::npos);

  Checkpoint changed = read_checkpoint(zip);
  changed.parts["state_dict_masker"][0].tensor.mutable_data<float>()[3] += 0.5f;
  changed.parts["state_dict_classifier"].pop_back();
  changed.facts["epoch"] = "9";
  write_checkpoint(folder / "changed.chk", changed);
  const Ended diff = penumbra({"ckpt", "diff", zip, folder / "changed.chk"});
  CHECK(diff.code == 1);
  for (const char* part : {"state_dict_masker.conv1.weight: differs by up to 0.5",
                           "state_dict_classifier.fc.bias: only in", "epoch: 3 and 9"})
    CHECK_MESSAGE(contains(diff.out, part), diff.out);
  CHECK(std::count(diff.out.begin(), diff.out.end(), '\n') == 3);
}

TEST_CASE("verify: checksums, sizes, finite values") {
  const ScratchFolder folder;
  CHECK(contains(ok({"ckpt", "verify", recorded("train.zip"), recorded("odd.legacy")}).out, "checksums right"));
  const std::string storage_sum = tests_folder() + "/fuzz/corpus/zip/storage_sum.pth";
  refused(4, {"ckpt", "verify", storage_sum}, "'" + storage_sum + "': a/data/0: byte 230: the CRC-32 does not fit");
  Checkpoint broken = read_checkpoint(recorded("state_dict.zip"));
  broken.parts["state_dict_classifier"][0].tensor.mutable_data<float>()[1] = std::numeric_limits<float>::quiet_NaN();
  write_checkpoint(folder / "nan.chk", broken);
  refused(4, {"ckpt", "verify", folder / "nan.chk"}, "conv1.weight' has 1 of 108 elements that are not finite");
}

TEST_CASE("hostile files: exit code 4 and one line, in every command that reads checkpoints; nothing runs") {
  for (const std::string name : {"pickle/bad_evil", "zip/bad_evil", "tar/bad_evil", "pickle/bad_eval",
                                 "zip/bad_overlap_inside", "tar/bad_oversized", "pickle/expand"}) {
    const std::string path = tests_folder() + "/fuzz/corpus/" + name + ".pth";
    const Ended ended = penumbra({"ckpt", "verify", path});
    CHECK(ended.code == 4);
    CHECK_MESSAGE(contains(ended.err, "error: '" + path + "': "), ended.err);
    CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
  }
  const TinyData data;
  const std::string evil = tests_folder() + "/fuzz/corpus/zip/bad_evil.pth";
  refused(4,
          {"score", "--mode", "casme", "--casm_path", evil, "--resnet_path", data.classifier, "--val_json", data.list,
           "--bboxes_path", data.boxes, "--device", "cpu", "--output_path", data.folder / "s.json"},
          "posix.system");
  refused(4,
          {"score", "--mode", "center", "--resnet_path", evil, "--val_json", data.list, "--bboxes_path", data.boxes,
           "--device", "cpu", "--output_path", data.folder / "s2.json"},
          "posix.system");
  CHECK_FALSE(std::filesystem::exists("pwned.txt"));
}

TEST_CASE("the same scores, whatever the format and the name of the files, and by every classifier_load_mode") {
  const TinyData data;
  const ScratchFolder folder;
  int number = 0;
  const auto scores = [&](const std::string& masker, const std::string& classifier, const std::string& mode) {
    return ok({"score", "--mode", "casme", "--casm_path", masker, "--resnet_path", classifier, "--classifier_load_mode",
               mode, "--val_json", data.list, "--bboxes_path", data.boxes, "--device", "cpu", "--output_path",
               folder / str("scores-", number++, ".json"), "--json", "--quiet"})
        .out;
  };
  const std::string pickled = scores(data.masker, data.classifier, "pickled");
  const std::string original = scores(data.masker, data.classifier, "original");
  CHECK(contains(pickled, "LE"));
  CHECK(pickled != original);
  for (const std::string format : {"legacy", "zip", "safetensors"}) {
    CAPTURE(format);
    const std::string masker = folder / (format + "-masker.bin"), classifier = folder / (format + "-classifier.bin");
    ok({"ckpt", "convert", data.masker, masker, "--format", format});
    ok({"ckpt", "convert", data.classifier, classifier, "--format", format});
    CHECK(scores(masker, classifier, "pickled") == pickled);
    CHECK(scores(masker, classifier, "original") == original);
    CHECK(scores(masker, classifier, "path:" + classifier) == original);
  }
}

TEST_CASE("usage errors") {
  refused(2, {"ckpt", "look", "x"}, "is none of inspect, convert, verify, diff");
  refused(2, {"ckpt", "diff", "x"}, "expected two files, got 1 files");
  refused(2, {"ckpt", "inspect", recorded("train.zip"), "--format", "zip"}, "--format is for ckpt convert");
  refused(4, {"ckpt", "inspect", "no-such-file.pth"}, "cannot open 'no-such-file.pth'");
}
