// What a sanity check leaves behind: scores, details, tables, curves, pictures, and a page with all of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/image.h"
#include "eval/sanity/tally.h"

namespace pen::eval::sanity {

struct HeadingPicture {
  std::size_t heading = 0;  // its number in Report::headings
  Image image;
};

struct Report {
  std::string check;  // mprt | drt
  std::string title;  // of the page
  std::string protocol, version;
  bool nan_counts = false;         // see mean_of
  std::vector<Heading> headings;   // of one kind together
  std::vector<Means> means;        // of each heading: means_of()
  std::vector<std::string> paths;  // of the images, in the order of each heading's figures
  BootstrapOptions bootstrap;      // of the intervals
  std::vector<HeadingPicture> pictures;
  std::vector<std::string> notes;  // sentences for the page
  // What has to be known to make the same figures again: name and value as JSON.
  std::vector<std::pair<std::string, std::string>> facts;

  std::vector<std::string> kinds() const;  // in order, each once
};

// The means. mprt: {"cascading": {"normal": {"spearman", "abs_spearman", "hog_correl", "ssim"}, "fc": {..}, ..},
// "independent": {..}}, as the reference writes them; drt: the four numbers alone. A mean that is not defined is null.
std::string scores_json(const Report& report);
// Protocol, facts, and for every heading and figure mean, interval, images with and without it.
std::string details_json(const Report& report);
// kind, layer, and for every figure its mean, interval and the number of images without it.
std::string scores_csv(const Report& report);
// kind, layer, path and the four figures; an empty cell where a figure is not defined.
std::string images_csv(const Report& report);
// Means over the layers, a line for each figure. Empty for a kind of a single heading.
std::string curves_svg(const Report& report, const std::string& kind);
// For people: one row for each heading.
std::string means_table(const Report& report);
// The self-contained page.
std::string page_html(const Report& report);

// Refuses a folder that holds results unless they may be replaced (a usage error). Makes the folder.
void open_results(const std::string& folder, bool overwrite);
// Everything to the folder: scores.json last, so that where it is the rest is. Returns the names of the files.
std::vector<std::string> write_report(const Report& report, const std::string& folder);

}  // namespace pen::eval::sanity
