// penumbra ckpt: looks into checkpoint files, converts, verifies and compares them.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/commands.h"
#include "models/checkpoint_tools.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::vector<std::string> words;
  std::string format = "auto";
  bool overwrite = false;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("What");
    t.add("words", &Options::words, "inspect FILE, convert FROM TO, verify FILE... or diff A B")
        .placeholder("ACTION FILE...")
        .by_place()
        .must_be_given();
    t.add("format", &Options::format,
          "of convert's result: PyTorch's zip or legacy format, or safetensors; auto: safetensors if its name ends so, "
          "else "
          "zip")
        .one_of({"auto", "zip", "legacy", "safetensors"});
    t.add("overwrite", &Options::overwrite, "let convert replace a file").of_this_call();
    add_log_options(t, "print the result as JSON on standard output");
    return OptionTable(t);
  }();
  return built;
}

void resolve(Options& o, OptionValues& values) {
  const std::string action = o.words.empty() ? "" : o.words[0];
  const std::size_t files = o.words.empty() ? 0 : o.words.size() - 1;
  const auto expect = [&](bool fits, const char* what) {
    PEN_CHECK_AS(usage, fits, "ckpt ", action, ": expected ", what, ", got ", files, " files");
  };
  if (action == "inspect")
    expect(files == 1, "one file");
  else if (action == "verify")
    expect(files >= 1, "files");
  else if (action == "convert" || action == "diff")
    expect(files == 2, "two files");
  else
    fail(ErrorKind::usage, "ckpt: '" + action + "' is none of inspect, convert, verify, diff");
  PEN_CHECK_AS(usage, action == "convert" || values.is_default_value("format"), "--format is for ckpt convert");
}

int convert(const Options& o) {
  const std::string &from = o.words[1], &to = o.words[2];
  PEN_CHECK_AS(usage, o.overwrite || !std::filesystem::exists(to), "'", to,
               "' is there already and is not overwritten without --overwrite");
  std::string format = o.format;
  if (format == "auto") format = to.ends_with(".safetensors") ? "safetensors" : "zip";
  const std::string folder = std::filesystem::path(to).parent_path().string();
  if (!folder.empty()) make_folders(folder);
  convert_checkpoint(from, to, format);
  log::info("wrote " + to + " (" + format + ")");
  if (o.json) {
    JsonWriter json;
    std::puts(
        json.begin_object().field("from", from).field("to", to).field("format", format).end_object().text().c_str());
  }
  return 0;
}

int verify(const Options& o) {
  JsonWriter json;
  json.begin_array();
  for (std::size_t i = 1; i < o.words.size(); ++i) {
    const Verified v = verify_checkpoint(o.words[i]);
    if (o.json) {
      json.begin_object().field("file", o.words[i]).field("format", v.format).field("tensors", v.tensors);
      json.field("elements", v.elements).field("checksums", v.sums).end_object();
    } else {
      fmt::print("{}: {}, {} tensors of {} elements, all finite; {}\n", o.words[i], v.format, v.tensors, v.elements,
                 v.sums ? fmt::format("{} checksums right", v.sums) : std::string("the format has no checksums"));
    }
  }
  if (o.json) std::puts(json.end_array().text().c_str());
  return 0;
}

int diff(const Options& o) {
  const std::vector<std::string> differences = checkpoint_differences(o.words[1], o.words[2]);
  if (o.json) {
    JsonWriter json(true);
    std::puts(json.begin_object()
                  .field("equal", differences.empty())
                  .field("differences", differences)
                  .end_object()
                  .text()
                  .c_str());
  } else {
    for (const std::string& line : differences) std::puts(line.c_str());
    if (differences.empty()) std::puts("equal: all tensors and facts");
  }
  return differences.empty() ? 0 : 1;
}

int run(const Options& o, const Invocation&) {
  if (o.words[0] == "convert") return convert(o);
  if (o.words[0] == "verify") return verify(o);
  if (o.words[0] == "diff") return diff(o);
  const FileSummary summary = summarize(o.words[1]);
  std::fputs(o.json ? summary_json(summary).c_str() : summary_text(summary).c_str(), stdout);
  return 0;
}

}  // namespace

Command ckpt_command() {
  return make_command<Options>("ckpt", "inspect, convert, verify or compare checkpoint files (PyTorch, safetensors)",
                               "  penumbra ckpt inspect resnet50-19c8e357.pth\n"
                               "  penumbra ckpt convert runs/fix/last.chk fix.safetensors\n"
                               "  penumbra ckpt convert runs/fix/last.chk fix-legacy.chk --format legacy\n"
                               "  penumbra ckpt verify runs/fix/*.chk\n"
                               "  penumbra ckpt diff runs/fix/epoch_000.chk runs/fix/last.chk\n",
                               table(), resolve, run);
}

}  // namespace pen::cli
