// penumbra report RUN: one page with curves, results and the gallery.
#include <doctest/doctest.h>

#include <pugixml.hpp>

#include "eval/report/extremes.h"
#include "eval/report/gallery.h"
#include "eval/report/run_curves.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::eval;
using namespace pen::test;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

void check_self_contained(const std::string& html) {
  for (const std::string word : {"src=\"http", "href=", "url(", "@import", "<link", "<script src", "fetch("})
    CHECK_MESSAGE(html.find(word) == std::string::npos, word);
}

}  // namespace

TEST_CASE("report: the best and the worst images of a metric") {
  const ScratchFolder folder;
  put(folder / "r.csv", "path,label,F1,IoU,F1_of_boxes\na,0,0.1,0.5,1\nb,1,0.3,,3\nc,0,0.2,0.9,4\nd,1,0.4,0.7,6\n");
  const ImageResults results = read_image_results(folder / "r.csv");
  CHECK(metric_columns(results).size() == 2);
  const std::size_t f1 = metric_column(results, "F1"), iou = metric_column(results, "IoU");
  CHECK(extremes(results, f1, 1) == std::vector<std::size_t>{3, 0});
  CHECK(extremes(results, f1, 9) == std::vector<std::size_t>{3, 1, 2, 0});
  CHECK(extremes(results, iou, 9) == std::vector<std::size_t>{2, 3, 0});
  check_error(ErrorKind::usage, {"IuO"}, [&] { metric_column(results, "IuO"); });
  check_error(ErrorKind::usage, {"label"}, [&] { metric_column(results, "label"); });
}

TEST_CASE("report: curves are the log's figures, long runs as means") {
  const ScratchFolder folder;
  std::string log;
  for (int step = 0; step < 1000; ++step)
    log += str("{\"epoch\": 0, \"step\": ", step, ", \"classifier_loss\": ", step,
               ", \"mask_avg\": ", step % 2 ? "null" : "0.5", "}\n");
  put(folder / "log/train.jsonl", log + "{\"epoch\": 0, \"st");
  put(folder / "log/val.jsonl", "{\"epoch\": 0, \"step\": 1000, \"classifier_loss\": 7}\n");
  CHECK(is_run(folder.path()));
  CHECK_FALSE(is_run(folder / "log"));
  const std::vector<Chart> charts = run_charts(folder.path(), 100);
  REQUIRE(charts.size() == 2);
  CHECK(contains(charts[0].title, "means over 10 steps"));
  REQUIRE(charts[0].lines.size() == 2);
  REQUIRE(charts[0].lines[0].y.size() == 100);
  CHECK(charts[0].lines[0].y[3] == 34.5);
  CHECK(charts[0].lines[0].x[3] == 35);
  CHECK(charts[0].lines[1].name == "val clean");
  CHECK(charts[0].lines[1].y == std::vector<double>{7});
  CHECK(charts[1].lines[0].y[50] == 0.5);
  CHECK(run_charts(folder.path(), 1000)[0].lines[0].y.size() == 1000);
  put(folder / "log/train.jsonl", "{\"step\": 0}\n[1]\n");
  check_error(ErrorKind::data, {"train.jsonl", "line 2"}, [&] { run_charts(folder.path()); });
  put(folder / "log/train.jsonl", "");
  check_error(ErrorKind::data, {"train.jsonl", "no step"}, [&] { run_charts(folder.path()); });
}

TEST_CASE("report: two runs, their results and images on one page") {
  const TrainingData data;
  for (const std::string run : {"one", "two"})
    REQUIRE(penumbra(data.train(run, {"--max_steps", "3", "--seed", run == "one" ? "1" : "2"})).code == 0);
  std::string csv = "path,label,LE,F1\n";
  const Metadata images = Metadata::read(data.list);
  for (std::int64_t i = 0; i < images.size(); ++i) csv += str("\"", images.path(i), "\",0,", i % 2, ",", i, "\n");
  put(data.folder / "images.csv", csv);
  put(data.folder / "s.json", "{\"F1\": 0.5, \"F1a\": 0.5, \"OM\": 0.4, \"LE\": 0.3, \"SM\": 0.2, \"avg_mask\": 0.1}");
  const std::string page = data.folder / "p/report.html";
  const Words words{"report",           data.at("one", ""),
                    data.at("two", ""), data.folder / "s.json",
                    "--per_image",      data.folder / "images.csv",
                    "--images",         "2",
                    "--html",           page};
  const Ended run = penumbra(words);
  CHECK_MESSAGE(run.code == 0, run.err);
  const std::string html = slurp(page);
  check_self_contained(html);
  CHECK(contains(html, "Report of one, two"));
  CHECK(count(html, "<svg ") == 6);
  CHECK(contains(html, "<td>s</td><td>0.300</td>"));
  CHECK(contains(html, "published CA"));
  CHECK(count(html, "<div class=\"card\"") == 4);
  CHECK(count(html, "<img class=\"mask\"") == 8);
  CHECK(count(html, "<canvas>") == 8);
  CHECK(contains(html, "mask of two"));
  CHECK(contains(html, "data-values=\"[0.0, 0.0]\""));
  CHECK(contains(html, "data-values=\"[1.0, 23.0]\""));
  CHECK(contains(html, "<option value=\"1\" selected>F1</option>"));

  CHECK(penumbra(words).code == 2);  // not overwritten unasked
  CHECK(penumbra(words + Words{"--overwrite"}).code == 0);
  // A run alone: its page lies with it.
  CHECK(penumbra({"report", data.at("one", "")}).code == 0);
  CHECK(std::filesystem::exists(data.at("one", "report.html")));
  CHECK(penumbra({"report", data.folder / "s.json", "--per_image", data.folder / "images.csv"}).code == 2);
  const Ended metric = penumbra(words + Words{"--overwrite", "--metric", "LF"});
  CHECK(metric.code == 2);
  CHECK(contains(metric.err, "LE"));
  put(data.folder / "images.csv", "path,F1\n/nowhere/x.png,1\n");
  const Ended missing = penumbra(words + Words{"--overwrite"});
  CHECK(missing.code == 3);
  CHECK(contains(missing.err, "/nowhere/x.png"));
}
