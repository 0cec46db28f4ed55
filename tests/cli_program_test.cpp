// The program itself: exit codes and texts.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/compute.h"
#include "cli/parse.h"
#include "cli/run_folder.h"
#include "eval/options.h"
#include "tests/paths.h"
#include "tests/program.h"
#include "tests/scratch.h"
#include "train/bench_options.h"
#include "train/options.h"

using namespace pen;
using pen::test::contains, pen::test::Ended, pen::test::penumbra, pen::test::ScratchFolder, pen::test::slurp;

namespace {

std::string source_file(const std::string& name) { return slurp(pen::test::tests_folder() + "/../" + name); }

}  // namespace

TEST_CASE("help and version") {
  const Ended version = penumbra({"--version"});
  CHECK(version.code == 0);
  CHECK(version.out.starts_with("penumbra "));
  const std::string number = version.out.substr(9, version.out.size() - 10);
  CHECK(contains(source_file("CMakeLists.txt"), "project(penumbra VERSION " + number + " "));

  const Ended help = penumbra({"--help"});
  CHECK(help.code == 0);
  for (const auto& command : cli::commands()) {
    CHECK(contains(help.out, "\n  " + command.name + " "));
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{command.name, "--help"}, {command.name, "-h"}, {"help", command.name}}) {
      const Ended page = penumbra(words);
      CHECK(page.code == 0);
      CHECK(page.err.empty());
      for (const Option& option : command.table->options())
        if (!option.positional && !option.ignored) CHECK(contains(page.out, "--" + option.name));
    }
  }
  const Ended nothing = penumbra({});
  CHECK(nothing.code == 2);
  CHECK(nothing.out.empty());
  CHECK(nothing.err == help.out);
}

TEST_CASE("wrong words are usage errors that say what was meant") {
  const auto said = [](const std::vector<std::string>& words) {
    const Ended ended = penumbra(words);
    CHECK(ended.code == 2);
    CHECK(ended.out.empty());
    return ended.err;
  };
  CHECK(said({"prepair"}) == "error: unknown command 'prepair'\nhint: did you mean prepare?\n");
  CHECK(said({"xyzzy"}) == "error: unknown command 'xyzzy'\nhint: penumbra --help lists the commands\n");
  CHECK(contains(said({"--frobnicate"}), "the command comes first"));
  CHECK(said({"prepare", "--trian_path", "x"}) ==
        "error: unknown option '--trian_path'\nhint: did you mean --train_path?\n");
  CHECK(said({"prepare", "--trian-path=x"}) ==
        "error: unknown option '--trian_path'\nhint: did you mean --train_path?\n");
  CHECK(contains(said({"sample", "--print_confg"}), "did you mean --print_config?"));
  CHECK(said({"sample", "stray"}) == "error: unexpected 'stray'\nhint: options start with --; --help lists them\n");
  CHECK(said({"sample", "-x"}) == "error: unknown option '-x'\nhint: --help lists the options\n");
  CHECK(said({"sample", "--output_path", "x", "--size", "big"}) == "error: --size: 'big' is not a whole number\n");
  CHECK(said({"sample", "--output_path", "x", "--size", "-5"}) ==
        "error: --size: -5 is out of bounds, it has to be between 32 and 4096\n");
  CHECK(contains(said({"sample", "--size"}), "--size: its value is missing"));
  CHECK(contains(said({"sample", "--size", "--train", "3"}), "--size: its value is missing"));
  CHECK(said({"sample"}) == "error: --output_path is missing: folder for images, annotations, masks and metadata\n");
  CHECK(contains(said({"sample", "--output_path", "x", "--format", "jpg"}),
                 "--format: 'jpg' is not one of jpeg, png\nhint: did you mean jpeg?"));
  CHECK(contains(said({"sample", "--output_path", "x", "-q", "-v"}), "--quiet and --verbose contradict each other"));
  CHECK(contains(said({"options", "--markdown", "--json"}), "contradict each other"));
}

TEST_CASE("names with dashes, values after = or a blank, switches with and without a value, the last one counts") {
  const std::vector<std::string> common = {"prepare", "--train-path",  "a", "--val_path=b", "--output-base_path",
                                           "c",       "--print-config"};
  const auto shown = [&](std::vector<std::string> more, const std::string& name) {
    std::vector<std::string> words = common;
    words.insert(words.end(), more.begin(), more.end());
    const Ended ended = penumbra(words);
    CHECK(ended.code == 0);
    CHECK(ended.err.empty());
    const std::size_t start = ended.out.find("\n" + name + " ");
    REQUIRE(start != std::string::npos);
    std::istringstream line(ended.out.substr(start + 1, ended.out.find('\n', start + 1) - start - 1));
    std::string first, value, from;
    line >> first >> value;
    std::getline(line >> std::ws, from);
    return value + "|" + from;
  };
  CHECK(shown({}, "val_path") == "b|command line");
  CHECK(shown({}, "seed") == "1234|default");
  CHECK(shown({"--seed", "7"}, "seed") == "7|command line");
  CHECK(shown({"--seed", "7", "--seed=8"}, "seed") == "8|command line");
  CHECK(shown({"--break-ratio"}, "break_ratio") == "true|command line");
  CHECK(shown({"--break_ratio", "false"}, "break_ratio") == "false|command line");
  CHECK(shown({"--break_ratio=true"}, "break_ratio") == "true|command line");
  CHECK(shown({"--break_ratio", "--seed", "3"}, "break_ratio") == "true|command line");
  CHECK(shown({"-q"}, "quiet") == "true|command line");

  const ScratchFolder folder;
  test::put(folder / "o.json", R"({"seed": 5, "image-size": 64})");
  const std::string from_file = "|file " + folder / "o.json";
  CHECK(shown({"--ZZsrc", folder / "o.json"}, "seed") == "5" + from_file);
  CHECK(shown({"--seed", "6", "--ZZsrc", folder / "o.json"}, "seed") == "6|command line");
  CHECK(shown({"--ZZsrc", folder / "o.json", "--ZZoverrides", "seed", "size", "--seed", "6"}, "seed") ==
        "6|command line");
  CHECK(shown({"--ZZsrc", folder / "o.json"}, "image_size") == "64" + from_file);

  std::vector<std::string> words = common;
  words.push_back("--json");
  const auto list = parse_json(penumbra(words).out, "list");
  REQUIRE(list.IsArray());
  CHECK(std::string(list[0]["name"].GetString()) == "train_path");
  CHECK(std::string(list[0]["value"].GetString()) == "a");
  CHECK(std::string(list[0]["from"].GetString()) == "command line");
}

TEST_CASE("words by place, lists, and texts that look like something else") {
  const auto given = [](const OptionTable& table, const std::vector<std::string>& words) {
    std::string text;
    for (const auto& [option, value] : cli::parse(table, words).given) text += option->name + "=" + value + ";";
    return text;
  };
  CHECK(given(explain_options(), {"a.jpg", "--casm_path", "c", "b.jpg", "--json", "d.jpg", "-"}) ==
        "images=a.jpg;images=b.jpg;images=d.jpg;images=-;casm_path=c;json=true;");
  CHECK(given(bench_options(), {"step", "--mode", "ca", "--batch", "8", "--json"}) ==
        "what=step;mode=ca;batch_size=8;json=true;");
  CHECK(given(bench_options(), {"loader", "--json", "tree"}) == "what=loader;path=tree;json=true;");
  CHECK(given(train_options(), {"--apply_gumbel_tau", "-1", "--do_infill_for_mask_in", "1"}) ==
        "apply_gumbel_tau=-1;do_infill_for_mask_in=1;");
  const std::string kl = R"({"prior": "divide", "kl": "forward"})";
  CHECK(given(train_options(), {"--mask_in_criterion_config", kl}) == "mask_in_criterion_config=" + kl + ";");
  CHECK(given(train_options(), {"--name=--odd", "--train_json", ""}) == "train_json=;name=--odd;");
  CHECK(given(train_options(), {"--output_path", "[x]"}) == "output_path=[x];");
}

TEST_CASE("a file of options with a mistake in it") {
  const ScratchFolder folder;
  const auto said = [&](const std::string& json) {
    test::put(folder / "o.json", json);
    const Ended ended = penumbra({"prepare", "--ZZsrc", folder / "o.json"});
    CHECK(ended.code == 2);
    CHECK(ended.out.empty());
    return ended.err;
  };
  CHECK(said(R"({"sede": 1})") ==
        "error: '" + folder / "o.json" + "': unknown option 'sede'\nhint: did you mean seed?\n");
  CHECK(contains(said(R"({"seed": "1"})"), "seed has to be a whole number, found a text \"1\""));
  CHECK(contains(said("{\"seed\": 1,\n  oops}"), "is not valid JSON at line 2, column 3"));
  CHECK(contains(said(""), "o.json"));
  const Ended absent = penumbra({"prepare", "--ZZsrc", folder / "absent.json"});
  CHECK(absent.code == 2);
  CHECK(contains(absent.err, "absent.json"));
}

TEST_CASE("missing data is exit code 3, and says which") {
  const ScratchFolder folder;
  const Ended ended = penumbra(
      {"prepare", "--train_path", folder / "no", "--val_path", folder / "no", "--output_base_path", folder / "out"});
  CHECK(ended.code == 3);
  CHECK(contains(ended.err, "error: "));
  CHECK(contains(ended.err, folder / "no"));
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
}

TEST_CASE("prepare writes its files, says what it wrote, and not over an earlier one") {
  const ScratchFolder folder;
  for (const std::string name : {"train/a/1.JPEG", "train/a/2.jpg", "train/b/3.png", "val/a/4.jpg", "val/b/5.jpg"})
    test::put(folder / name, "x");  // only the names are read when there are no annotations
  const std::vector<std::string> words = {"prepare",
                                          "--train-path",
                                          folder / "train",
                                          "--val_path",
                                          folder / "val",
                                          "--output_base_path",
                                          folder / "m",
                                          "--num-per-class-in-train-val",
                                          "1",
                                          "--json"};
  const Ended first = penumbra(words);
  CHECK(first.code == 0);
  const auto said = parse_json(first.out, "stdout");
  CHECK(said["train"].GetInt() == 3);
  CHECK(said["train_val"].GetInt() == 2);
  CHECK(said["val"].GetInt() == 2);
  REQUIRE(said["files"].Size() >= 5);
  for (const auto& file : said["files"].GetArray()) CHECK(std::filesystem::file_size(file.GetString()) > 10);
  const Ended second = penumbra(words);
  CHECK(second.code == 2);
  CHECK(contains(second.err, "hint: "));
  std::vector<std::string> again = words;
  again.push_back("--overwrite");
  CHECK(penumbra(again).code == 0);
}

TEST_CASE("doctor") {
  const Ended table = penumbra({"doctor", "--threads", "1"});
  CHECK(table.code == 0);
  CHECK(contains(table.out, "\noneDNN "));
  CHECK(contains(table.out, "threads       1 of "));
  const Ended json = penumbra({"doctor", "--json"});
  const auto document = parse_json(json.out, "doctor");
  for (const char* name : {"oneDNN", "OpenCV", "libjpeg-turbo", "libpng"}) {
    REQUIRE(document["libraries"].HasMember(name));
    const std::string number = document["libraries"][name].GetString();
    CHECK(number.find_first_of("123456789") != std::string::npos);
  }
  CHECK(document["cuda_built"].IsBool());
  CHECK(document["gpus"].IsArray());
  CHECK(document["threads"].GetInt() >= 1);
  CHECK(document["memory_bytes"].GetInt64() > (1 << 26));
  CHECK(document["memory_available_bytes"].GetInt64() <= document["memory_bytes"].GetInt64());
}

TEST_CASE("doctor: threads bound to cores are as many") {
  const auto threads = [](const char* bind) {
    const Ended json = pen::test::run_program(
        "env", {"-u", "OMP_PLACES", "-u", "GOMP_CPU_AFFINITY", bind, pen::test::program_path(), "doctor", "--json"});
    REQUIRE(json.code == 0);
    return parse_json(json.out, "doctor")["threads"].GetInt();
  };
  CHECK(threads("OMP_PROC_BIND=true") == threads("OMP_PROC_BIND=false"));
}

TEST_CASE("docs/options.md is what the program says") {
  const Ended page = penumbra({"options", "--markdown"});
  CHECK(page.code == 0);
  const bool current = page.out == source_file("docs/options.md");
  CHECK_MESSAGE(current, "run: penumbra options --markdown > docs/options.md");
}

TEST_CASE("results that cannot be written are an error") {
  const Ended ended = penumbra({"options", "--json"}, ">/dev/full");
  CHECK(ended.code == 1);
  CHECK(contains(ended.err, "cannot write to standard output"));
}

TEST_CASE("completion scripts are complete and of valid syntax") {
  const ScratchFolder folder;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const Ended script = penumbra({"completion", shell});
    CHECK(script.code == 0);
    for (const auto& command : cli::commands())
      for (const std::string& name : command.table->names()) CHECK(contains(script.out, name));
    if (shell == "bash") {
      test::put(folder / "bash", script.out +
                                     "\nCOMP_WORDS=(penumbra sample --format ''); COMP_CWORD=3\n_penumbra\n"
                                     "echo \"${COMPREPLY[*]}\"\n");
      CHECK(std::system(("bash " + folder / "bash" + " >" + folder / "said").c_str()) == 0);
      CHECK(slurp(folder / "said") == "jpeg png\n");
    }
  }
  CHECK(penumbra({"completion", "tcsh"}).code == 2);
}

TEST_CASE("a device that is not there is a device error, an unknown one a usage error") {
  ComputeOptions options;
  options.threads = 1;
  options.device = "cpu";
  CHECK(cli::open_device(options) == Device{});
  CHECK(cli::describe(Device{}).starts_with("cpu, "));
  options.device = "cuda:99";
  test::check_error(ErrorKind::device, {"cuda"}, [&] { cli::open_device(options); });
  options.device = "gpu";
  test::check_error(ErrorKind::usage, {"'gpu'"}, [&] { cli::open_device(options); });
}

TEST_CASE("a run's folder: options, environment, and never over another run") {
  const ScratchFolder folder;
  TrainOptions options;
  OptionValues values(train_options(), &options);
  options.train_json = "t.json";
  options.output_path = folder.path();
  values.set_text("epochs", "3", {OptionSource::command_line, {}, {}});
  cli::CommandLine line;
  line.arguments = {"penumbra", "train", "--epochs", "3"};
  const std::string path = cli::open_run_folder(folder.path(), "a", false, values, line, "cpu");
  const auto env = parse_json(slurp(path + "/env.json"), "env.json");
  CHECK(std::string(env["command_line"][3].GetString()) == "3");
  CHECK(std::string(env["device"].GetString()) == "cpu");
  CHECK(env["environment"]["libraries"].HasMember("oneDNN"));

  TrainOptions again;
  OptionValues read(train_options(), &again);
  read.read_json_file(path + "/args.json");
  CHECK(again.epochs == 3);
  CHECK(to_json(train_options(), &again) == to_json(train_options(), &options));

  // nothing was computed in it yet, so that a second try is no second run
  CHECK(cli::open_run_folder(folder.path(), "a", false, values, line, "cpu") == path);
  test::put(path + "/metrics.jsonl", "{}");
  test::check_error(ErrorKind::usage, {"is there already and is not overwritten"},
                    [&] { cli::open_run_folder(folder.path(), "a", false, values, line, "cpu"); });
  CHECK(cli::open_run_folder(folder.path(), "a", true, values, line, "cpu") == path);
  test::check_error(ErrorKind::checkpoint, {"there is no run"},
                    [&] { cli::open_run_folder(folder.path(), "b", true, values, line, "cpu"); });
  test::check_error(ErrorKind::checkpoint, {"there is no run"}, [&] { cli::saved_options(folder.path(), "b", true); });
  CHECK(cli::saved_options(folder.path(), "a", true) == path + "/args.json");
  CHECK(cli::saved_options(folder.path(), "b", false).empty());
  CHECK(cli::run_name("fix") == "fix");
  CHECK(cli::run_name("random") != cli::run_name("random"));
}

TEST_CASE("resuming reads the saved options, then the file, then the command line") {
  const ScratchFolder folder;
  TrainOptions started;
  started.mask_in.criterion = "crossentropy";
  started.train_json = "t.json";
  started.resnet_path = "r";
  started.output_path = folder.path();
  started.name = "a";
  started.batch_size = 16;
  test::put(folder / "a/args.json", to_json(train_options(), &started));
  std::optional<TrainOptions> ran;
  const cli::Command train = cli::make_command<TrainOptions>(
      "train", "", "", train_options(), [](TrainOptions& o, OptionValues& v) { resolve(o, v); },
      [&](const TrainOptions& o, const cli::Invocation&) {
        ran = o;
        return 0;
      },
      [](const TrainOptions& o) { return cli::saved_options(o.output_path, o.name, o.resume); });
  const auto call = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--output_path", folder.path(), "--name", "a", "--resume"});
    return train.execute(cli::parse(train_options(), words));
  };
  CHECK(call({"--epochs", "90"}) == 0);
  REQUIRE(ran);
  CHECK(ran->batch_size == 16);
  CHECK(ran->epochs == 90);
  CHECK(ran->resume);
  test::check_error(ErrorKind::usage, {"the run was started with batch_size 16", "not 8"}, [&] {
    call({"--batch_size", "8"});
  });
}

TEST_CASE("Ctrl-C: the first asks, the second ends with 130") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    interrupt::install();
    if (interrupt::requested()) _exit(1);
    raise(SIGINT);
    if (!interrupt::requested()) _exit(2);
    raise(SIGINT);
    _exit(3);
  }
  close(pipe_ends[1]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
  char text[200] = {};
  CHECK(read(pipe_ends[0], text, sizeof text - 1) > 0);
  CHECK(contains(text, "interrupted"));
  close(pipe_ends[0]);
}
