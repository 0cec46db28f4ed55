// A run of the WSOL benchmark: from somebody's maps and a data set to files of results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "eval/beside.h"
#include "eval/wsol/box_accuracy.h"
#include "eval/wsol/dataset.h"
#include "eval/wsol/options.h"
#include "eval/wsol/pixel_precision.h"
#include "kernels/types.h"

namespace pen::eval::wsol {

struct WsolRun {
  bool interrupted = false;                   // by Ctrl-C: nothing was written
  std::string method, dataset, file;          // file: the JSON with the results
  std::string metric;                         // of `performance`: MaxBoxAcc, MaxBoxAccV2 or PxAP
  double performance = 0;                     // percent
  std::optional<BoxAccuracy::Result> v1, v2;  // where there are boxes
  std::optional<double> pxap;                 // where there are masks
  std::optional<Interval> v1_interval, v2_interval, pxap_interval;
  std::int64_t images = 0;
  Contested contested;  // where there are masks
  double seconds = 0;   // of the loop over the images
};

// Judges maps of all images and writes FILE.json, FILE.images.csv and, for boxes, FILE.thresholds.csv and .svg, for
// masks FILE.precision_recall.csv and .svg; FILE.json last: where it is, the rest is. Every file names the protocol.
// Maps pass in batches; what is kept of an image does not depend on its size.
// Errors: data for lists, images, masks and maps (before the first image where that is possible), checkpoint for
// networks, usage for options that contradict them and for results that are there already without overwrite.
// metrics: who computes them; results are the same to the bit.
WsolRun run_wsol(const WsolOptions& options, Device device, const std::string& device_in_words,
                 MetricsRun metrics = MetricsRun::by_device);

// The checkpoint that casme_load_mode means: `path` itself (specific), or the last epoch's file in the folder `path`,
// epoch_<number>.chk or .safetensors, and where there is none last.chk (best). Nothing there: a checkpoint error.
std::string masker_file(const std::string& path, const std::string& casme_load_mode);

// For people: a Markdown table.
std::string wsol_table(const WsolRun& run);

}  // namespace pen::eval::wsol
