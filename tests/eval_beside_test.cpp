// Metrics of one batch beside the networks' work on the next: the same bits, the same errors, nothing lost.
#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/check.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "eval/beside.h"
#include "eval/run_score.h"
#include "eval/wsol/run.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::eval;
using test::contains, test::put, test::slurp, test::TinyData;

namespace {

constexpr MetricsRun kBoth[] = {MetricsRun::in_turn, MetricsRun::beside};

// Batches of two: three whole ones and an incomplete one.
template <class Options>
void read_tiny(Options& options, const TinyData& data) {
  options.val_json = data.list;
  options.bboxes_path = data.boxes;
  options.masks_path = data.folder / "masks";
  options.batch_size = 2;
  options.workers = 1;
  options.bootstrap = 20;
  options.progress = "none";
  options.quiet = true;
}

ScoreRunOptions scoring(const TinyData& data, const std::string& mode, const std::string& name) {
  ScoreRunOptions options;
  read_tiny(options, data);
  options.mode = mode;
  (mode == "casme" ? options.casm_path : options.resnet_path) = mode == "casme" ? data.masker : data.classifier;
  options.output_path = data.folder / (name + ".json");
  options.per_image = data.folder / (name + ".csv");
  options.record_bboxes = data.folder / (name + ".boxes.json");
  return options;
}

WsolOptions judging(const TinyData& data, const std::string& name) {
  WsolOptions options;
  read_tiny(options, data);
  options.cam_loader = "casme";
  options.casm_base_path = data.masker;
  options.casme_load_mode = "specific";
  options.output_base_path = data.folder / (name + ".json");
  return options;
}

std::string message(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// What does not say how long it took.
std::string without_times(const std::string& json) {
  std::string kept;
  for (std::size_t at = 0; at < json.size();) {
    const std::size_t end = std::min(json.find('\n', at), json.size() - 1) + 1;
    const std::string line = json.substr(at, end - at);
    if (!contains(line, "\"seconds\"") && !contains(line, "\"images_per_s\"")) kept += line;
    at = end;
  }
  return kept;
}

}  // namespace

TEST_CASE("beside: a thread of its own, or the caller's; in order, one at a time, with the caller's thread count") {
  const int before = threads();
  set_threads(1);
  for (const MetricsRun run : kBoth) {
    Beside beside(run, Device{});
    std::vector<int> done;
    int busy = 0, most = 0, with_threads = 0;
    std::thread::id who;
    for (int i = 0; i < 20; ++i) {
      beside.start([&, i] {
        most = std::max(most, ++busy);
        who = std::this_thread::get_id();
        with_threads = threads();
        done.push_back(i);
        --busy;
      });
    }
    beside.wait();
    beside.wait();
    CHECK(most == 1);
    CHECK(with_threads == 1);
    REQUIRE(done.size() == 20);
    CHECK(std::is_sorted(done.begin(), done.end()));
    CHECK((who == std::this_thread::get_id()) == (run == MetricsRun::in_turn));
  }
  set_threads(before);
}

TEST_CASE("beside: the caller goes on while the work is done") {
  Beside beside(MetricsRun::beside, Device{});
  std::promise<void> work, caller;
  const auto waits = [](std::promise<void>& p) { return p.get_future().wait_for(std::chrono::seconds(60)); };
  std::future_status status = std::future_status::deferred;
  beside.start([&] {
    work.set_value();
    status = waits(caller);
  });
  CHECK(waits(work) == std::future_status::ready);  // in turn it would not have begun
  caller.set_value();                               // nor would this be reached, if start() did the work
  beside.wait();
  CHECK(status == std::future_status::ready);
}

TEST_CASE("beside: what a piece of work throws comes out of the next start or wait, once") {
  for (const MetricsRun run : kBoth) {
    Beside beside(run, Device{});
    bool ran = false;
    beside.start([] { fail(ErrorKind::data, "first"); });
    CHECK(message([&] { beside.start([&] { ran = true; }); }) == "first");
    CHECK_NOTHROW(beside.wait());
    CHECK_FALSE(ran);
    beside.start([] { fail(ErrorKind::data, "second"); });
    CHECK(message([&] { beside.wait(); }) == "second");
    CHECK_NOTHROW(beside.wait());
    {
      Beside dropped(run, Device{});
      dropped.start([] { fail(ErrorKind::data, "nobody asks"); });
    }
  }
}

TEST_CASE("by device: beside on a GPU, in turn on a CPU") {
  for (const bool gpu : {false, true}) {
    Beside beside(MetricsRun::by_device, gpu ? Device{Device::Kind::cuda, 0} : Device{});
    std::thread::id who;
    beside.start([&] { who = std::this_thread::get_id(); });
    beside.wait();
    CHECK((who != std::this_thread::get_id()) == gpu);
  }
}

TEST_CASE("score: beside or in turn, every file is the same") {
  const TinyData data;
  for (const std::string mode : {"casme", "grad_cam", "ground_truth", "center", "min"}) {
    CAPTURE(mode);
    for (const MetricsRun run : kBoth) {
      ScoreRunOptions options = scoring(data, mode, run == MetricsRun::beside ? "beside" : "turn");
      if (mode == "min") options.masks_path.clear();
      if (mode == "casme") options.infiller_model = "mean_color";
      const ScoreRun result = run_score(options, Device{}, "cpu", run);
      CHECK(result.images == TinyData::images);
      CHECK(result.infilled_in.has_value() == (mode == "casme"));
    }
    for (const char* file : {".json", ".csv", ".boxes.json"}) {
      const std::string turn = slurp(data.folder / ("turn" + std::string(file)));
      CHECK(turn.size() > 100);
      CHECK(turn == slurp(data.folder / ("beside" + std::string(file))));
    }
    const std::string details = without_times(slurp(data.folder / "turn.details.json"));
    CHECK((mode == "min" || contains(details, "mask_iou")));
    CHECK(details == without_times(slurp(data.folder / "beside.details.json")));
  }
}

TEST_CASE("wsol: beside or in turn, every file is the same") {
  const TinyData data;
  for (const MetricsRun run : kBoth)
    wsol::run_wsol(judging(data, run == MetricsRun::beside ? "beside" : "turn"), Device{}, "cpu", run);
  for (const char* file : {".images.csv", ".thresholds.csv", ".thresholds.svg", ".precision_recall.csv"}) {
    const std::string turn = slurp(data.folder / ("turn" + std::string(file)));
    CHECK(turn.size() > 100);
    CHECK(turn == slurp(data.folder / ("beside" + std::string(file))));
  }
  CHECK(without_times(slurp(data.folder / "turn.json")) == without_times(slurp(data.folder / "beside.json")));
}

TEST_CASE("score and wsol: of several errors the one of the earliest image is told, and no totals are left") {
  // Of the seven images the sixth is cut off (met while the third batch is loaded) ...
  const TinyData data;
  const std::string image = data.folder / "val/right/v5.png", mask = data.folder / "masks/right/v3.png";
  put(image, slurp(image).substr(0, 200));
  for (const MetricsRun run : kBoth) {
    const auto score = [&] {
      return message([&] { run_score(scoring(data, "casme", "none"), Device{}, "cpu", run); });
    };
    const auto judge = [&] { return message([&] { wsol::run_wsol(judging(data, "none"), Device{}, "cpu", run); }); };
    const std::string kept = slurp(mask);
    CHECK(contains(score(), "v5.png"));
    CHECK(contains(judge(), "v5.png"));
    // ... and the true mask of the fourth is empty (met when the second batch is measured).
    write_png(mask, 40, 48, 1, std::vector<std::uint8_t>(48 * 40));
    CHECK(contains(score(), "v3.png"));
    CHECK(contains(judge(), "v3"));
    put(mask, kept);
    CHECK_FALSE(std::filesystem::exists(data.folder / "none.json"));
  }
}

TEST_CASE("score and wsol: interrupted while metrics are under way, nothing is written and nothing is left running") {
  const TinyData data;
  for (const MetricsRun run : kBoth) {
    interrupt::request();
    const ScoreRun score = run_score(scoring(data, "casme", "stopped"), Device{}, "cpu", run);
    const wsol::WsolRun judged = wsol::run_wsol(judging(data, "stopped-wsol"), Device{}, "cpu", run);
    interrupt::clear();
    CHECK(score.interrupted);
    CHECK(judged.interrupted);
    for (const char* file : {"stopped.json", "stopped.csv", "stopped.details.json", "stopped-wsol.json"})
      CHECK_FALSE(std::filesystem::exists(data.folder / file));
  }
}
