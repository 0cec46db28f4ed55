// The images of a sanity check, batch by batch, with progress.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/log.h"
#include "data/metadata.h"
#include "eval/batch.h"
#include "eval/sanity/options.h"
#include "eval/sanity/pictures.h"

namespace pen::eval::sanity {

// The first images of val_json: at most --limit, at most --num_batches batches.
Metadata tested_images(const SanityOptions& options);

// Calls look(batch, progress) for each batch of the images, resized to side `size`. maps: how many the whole check
// makes; the callback advances the progress by those of its batch and returns false to stop. Unreadable images are data
// errors. Returns false if it was stopped, or Ctrl-C was pressed.
using Look = std::function<bool(const Batch&, log::Progress&)>;
bool for_each_batch(const Metadata& images, const SanityOptions& options, std::int64_t size, std::int64_t maps,
                    const Look& look);

// The images of the first batch that are to be drawn; a place that the batch does not have is a usage error.
Plotted plotted_images(const SanityOptions& options, const Batch& first);

// Labels that a method is told must be classes that it knows: a data error otherwise.
void check_labels(const Metadata& images, const std::string& list, std::int64_t classes, const std::string& what);

}  // namespace pen::eval::sanity
