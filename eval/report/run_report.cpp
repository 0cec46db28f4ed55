#include "eval/report/run_report.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/log.h"
#include "base/version.h"
#include "data/transforms.h"
#include "eval/html_page.h"
#include "eval/networks.h"
#include "eval/panel.h"
#include "eval/report/extremes.h"
#include "eval/report/gallery.h"
#include "eval/report/run_curves.h"
#include "eval/results_table.h"

namespace pen::eval {
namespace {

// The CA model of arXiv 2010.09750 on ImageNet's 50,000 validation images, paper protocol.
const std::vector<std::string> published = {
    "published CA, ImageNet", "0.358", "0.484", "0.620", "0.523", "0.446", "-", "paper", "50000"};

std::string name_of_run(const std::string& folder) {
  const std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

Gallery make_gallery(const RunReportOptions& o, Device device) {
  const ImageResults results = read_image_results(o.per_image);
  const std::vector<std::size_t> columns = metric_columns(results);
  PEN_CHECK_AS(data, !columns.empty(), "'", o.per_image, "' has no column of numbers");
  std::size_t column = columns[0];
  for (const char* usual : {"F1", "IoU"})
    if (std::count(results.columns.begin(), results.columns.end(), usual)) column = metric_column(results, usual);
  if (!o.metric.empty()) column = metric_column(results, o.metric);
  Gallery gallery;
  for (const std::size_t c : columns) {
    if (c == column) gallery.sorted_by = gallery.metrics.size();
    gallery.metrics.push_back(results.columns[c]);
  }

  std::vector<MaskMaker> maskers;
  for (std::size_t i = 0; i < std::min<std::size_t>(o.runs.size(), 2); ++i) {
    maskers.emplace_back((std::filesystem::path(o.runs[i]) / o.checkpoint).string(), ClassifierSource{}, "", o.use_p,
                         device);
    gallery.mask_names.push_back(name_of_run(o.runs[i]));
  }
  PEN_CHECK_AS(usage, !maskers.empty(),
               "a gallery (--per_image) needs a training run, whose checkpoint draws the masks");
  const std::int64_t size = maskers[0].input_size();
  const Transform transform = Transform::score(static_cast<int>(size), o.break_ratio);
  const std::vector<std::size_t> chosen = extremes(results, column, static_cast<std::size_t>(o.each));
  log::Progress progress("gallery", static_cast<std::int64_t>(chosen.size()));
  ImagePipeline pipeline;
  Rng unused;
  std::vector<float> image(static_cast<std::size_t>(size * size * 3));
  for (const std::size_t i : chosen) {
    const std::string& path = results.images[i];
    pipeline.load(path, transform, unused, image.data());
    GalleryItem item{path, {}, to_pixels(image, static_cast<int>(size), transform.normalize), {}};
    for (const std::size_t c : columns) item.values.push_back(results.values[i * results.columns.size() + c]);
    for (const MaskMaker& masker : maskers) item.masks.push_back(masker(image, 1, size, {}).maps);
    gallery.items.push_back(std::move(item));
    progress.advance(1);
  }
  return gallery;
}

}  // namespace

std::string run_report_html(const RunReportOptions& o, Device device) {
  std::string title = "Report";
  for (const std::string& run : o.runs) title += (title == "Report" ? " of " : ", ") + name_of_run(run);
  HtmlPage page(title);
  page.style(".charts figure{display:inline-block;width:48%;margin:6px 1% 6px 0}\n");
  for (const std::string& run : o.runs) {
    page.heading("Training of " + name_of_run(run));
    page.markup("<div class=\"charts\">\n");
    for (const Chart& chart : run_charts(run)) page.markup("<figure>" + svg(chart) + "</figure>\n");
    page.markup("</div>\n");
  }
  if (!o.scores.empty()) {
    const Table table = results_table(o.scores);
    std::vector<std::vector<std::string>> rows = table.rows();
    rows.push_back(published);
    page.heading("Results").table(table.columns(), rows);
    page.paragraph(
        "Brackets: bootstrap intervals. The last row is the best model of the paper (arXiv 2010.09750) on ImageNet, "
        "for "
        "comparison only with results on the same images.");
  }
  if (!o.per_image.empty()) add_gallery(page, make_gallery(o, device));
  page.paragraph(str("Made by penumbra ", version(), "."));
  return page.text();
}

}  // namespace pen::eval
