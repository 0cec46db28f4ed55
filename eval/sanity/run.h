// The two sanity checks as runs: from files of images and networks to a folder of results.
#pragma once

#include <functional>
#include <string>

#include "eval/sanity/options.h"
#include "eval/sanity/report.h"
#include "kernels/types.h"

namespace pen::eval::sanity {

struct SanityRun {
  bool interrupted = false;  // by Ctrl-C: nothing was written
  Report report;
};

// Parameter randomisation (options.what mprt) or data randomisation (drt) on the images of options.val_json, and its
// results in options.output_path. Networks and options are checked before the first image is read. Memory: one batch,
// its maps, two copies of the classifier's weights, the pictures, and the convolutions' packed weights, which fill
// their cache (512 MiB at most) as layers change; of an image only its figures are kept. Errors: kind data for images
// and metadata, checkpoint for the networks' files (two maskers on different classifiers too), usage for options.
SanityRun run_sanity(const SanityOptions& options, Device device, const std::string& device_in_words);

// Both checkpoints' classifiers must be one kind of network: the same architecture, widths, classes, class names and
// input size, else a checkpoint error that names the difference. Their weights must be the same as well, unless a
// checkpoint says that its run trained the classifier, or `other_weights` allows it. Returns whether they are the same.
bool check_same_classifier(const std::string& path1, const std::string& path2, bool other_weights);

}  // namespace pen::eval::sanity
