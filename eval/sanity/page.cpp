// The page of a sanity check.
#include "base/check.h"
#include "data/encode.h"
#include "eval/chart.h"
#include "eval/html_page.h"
#include "eval/sanity/report.h"
#include "eval/table.h"

namespace pen::eval::sanity {
namespace {

constexpr int jpeg_quality = 88;  // the PNG files beside the page are exact

std::vector<std::vector<std::string>> rows_of(const Report& report, const std::string& kind) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t h = 0; h < report.headings.size(); ++h) {
    if (report.headings[h].kind != kind) continue;
    std::vector<std::string> row{report.headings[h].layer};
    std::int64_t undefined = 0;
    for (const Mean& m : report.means.at(h)) {
      row.push_back(m.interval ? str(fixed(m.mean), " [", fixed(m.interval->low), ", ", fixed(m.interval->high), "]")
                               : fixed(m.mean));
      undefined += m.undefined;
    }
    row.push_back(std::to_string(undefined));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::string page_html(const Report& report) {
  HtmlPage page(report.title);
  for (const std::string& note : report.notes) page.paragraph(note);
  const std::vector<std::string> columns{"layer", "spearman", "abs_spearman", "hog_correl", "ssim", "undefined"};
  for (const std::string& kind : report.kinds()) {
    page.heading(kind == "drt" ? "Figures" : kind);
    const std::string curves = curves_svg(report, kind);
    if (!curves.empty()) page.markup("<figure>" + curves + "</figure>\n");
    page.table(columns, rows_of(report, kind));
  }
  if (!report.pictures.empty()) page.heading("Pictures");
  for (const HeadingPicture& p : report.pictures) {
    const Heading& heading = report.headings.at(p.heading);
    const std::string words = heading.kind + " " + heading.layer;
    page.picture("image/jpeg", encode_jpeg(p.image.height, p.image.width, p.image.rgb, jpeg_quality), words,
                 "image, map, masked in and masked out: " + words);
  }
  page.heading("How it was made");
  std::vector<std::vector<std::string>> facts{{"protocol", report.protocol}, {"version", report.version}};
  for (const auto& [name, value] : report.facts) facts.push_back({name, value});
  page.table({"option", "value"}, facts);
  return page.text();
}

}  // namespace pen::eval::sanity
