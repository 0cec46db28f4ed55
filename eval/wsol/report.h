// The files that a run of the WSOL benchmark leaves behind.
#pragma once

#include <string>
#include <vector>

#include "eval/wsol/run.h"

namespace pen::eval::wsol {

// What the files are made of. Pointers are null where a data set has no such truth.
struct WsolReport {
  const WsolRun& run;
  const WsolOptions& options;
  const BoxAccuracy* v1 = nullptr;
  const BoxAccuracy* v2 = nullptr;
  const PixelPrecision* pixels = nullptr;
  std::vector<std::string> ids;
  std::string device, classifier, explained;  // explained: which class, in words; empty where none is
};

// The result file: performance, and everything that is needed to read it.
std::string result_json(const WsolReport& report);
// One line an image. MaxBoxAcc and MaxBoxAccV2: 0 or 100, or the share of the three levels, at the thresholds that are
// best for all images, so that their means are the totals; IoU: at MaxBoxAcc's threshold; best_IoU: at the image's own.
// PxAP_of_image: of that image alone, empty where it has no object pixel.
std::string images_csv(const WsolReport& report);
// threshold, MaxBoxAcc, and MaxBoxAccV2's three accuracies in percent.
std::string thresholds_csv(const WsolReport& report);
std::string thresholds_svg(const WsolReport& report);
// threshold, precision, recall, by falling thresholds.
std::string precision_recall_csv(const WsolReport& report);
std::string precision_recall_svg(const WsolReport& report);

}  // namespace pen::eval::wsol
