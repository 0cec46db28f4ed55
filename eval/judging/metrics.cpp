#include "eval/judging/metrics.h"

#include "base/check.h"
#include "base/nearest.h"

namespace pen::eval {

const std::vector<Metric>& metrics() {
  using enum MetricNeeds;
  static const std::vector<Metric> all = {
      {"LE", boxes, true, 3,
       "localisation error: share of images whose box, of the map above its mean, has IoU <= 0.5"},
      {"MaxBoxAcc", boxes, false, 1, "percent of images with IoU >= 0.5 at the threshold that is best for all"},
      {"MaxBoxAccV2", boxes, false, 1, "the same of the best contour, mean over IoU 0.3, 0.5 and 0.7"},
      {"PxAP", masks, false, 1, "pixel-wise average precision in percent, all images together"},
      {"insertion", classifier, false, 3, "area under the probability while pixels come into a blurred image"},
      {"deletion", classifier, true, 3, "area under the probability while pixels go"},
      {"average_drop", classifier, true, 1,
       "percent of the probability that is lost when the image is multiplied by the map"},
      {"average_increase", classifier, false, 1, "percent of images whose probability grows by that"},
      {"average_gain", classifier, false, 1, "percent of the missing probability that is gained by that"},
      {"road", classifier, false, 3, "half of lerf minus morf"},
      {"road_morf", classifier, true, 3, "mean probability with the most relevant 10 to 90% imputed"},
      {"road_lerf", classifier, false, 3, "mean probability with the least relevant 10 to 90% imputed"},
      {"pointing_game", truth, false, 3,
       "share of images whose largest value lies on the object, within 15 pixels of 224"},
      {"energy_pointing_game", truth, false, 3, "share of the map's sum that lies on the object"},
      {"sparseness", nothing, false, 3, "Gini index of the map"},
      {"max_sensitivity", method, true, 3, "largest relative change of the map under small noise on the image"},
      {"ms_per_image", nothing, true, 1, "time for the map in milliseconds"},
  };
  return all;
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const Metric& m : metrics()) names.emplace_back(m.name);
  return names;
}

const Metric& metric(std::string_view name) {
  for (const Metric& m : metrics())
    if (m.name == name) return m;
  const std::string near = did_you_mean(name, metric_names());
  std::string known;
  for (const std::string& n : metric_names()) known += (known.empty() ? "known: " : ", ") + n;
  fail(ErrorKind::usage, str("there is no metric '", name, "'"), near.empty() ? known : near);
}

}  // namespace pen::eval
