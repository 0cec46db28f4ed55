// Options that training a masker and fitting a classifier share.
#pragma once

#include <cstdint>
#include <string>

#include "base/options.h"
#include "base/run_options.h"
#include "kernels/types.h"
#include "train/reading_options.h"

namespace pen {

// When a run is saved.
struct SaveOptions {
  std::int64_t actual_save_freq = 1;
  std::int64_t checkpoint_steps = 0;
};

template <class T>
void add_save_options(OptionsOf<T>& table) {
  table.group("Checkpoints");
  table.add("actual_save_freq", &SaveOptions::actual_save_freq, "epoch_NNN.chk every so many epochs")
      .at_least(1)
      .changes_on_resume();
  table
      .add("checkpoint_steps", &SaveOptions::checkpoint_steps,
           "also save last.chk every so many steps; 0: at the end of epochs")
      .at_least(0)
      .changes_on_resume();
}

// How training images are read.
struct TrainingDataOptions : ReadingOptions {
  std::int64_t workers = 4;
  std::int64_t limit = 0;
  double min_crop_area = 0.08;
  double max_bad_share = 0.01;
  bool overfit_one_batch = false;
};

template <class T>
void add_training_data_options(OptionsOf<T>& table) {
  using D = TrainingDataOptions;
  table.group("Data");
  table.add("workers", &D::workers, "threads that read images; 0: the training thread does")
      .between(0, 1024)
      .changes_on_resume();
  add_reading_options(table);
  table.add("limit", &D::limit, "use the first so many images only; 0: all").at_least(0);
  table.add("min_crop_area", &D::min_crop_area, "smallest share of an image that a random training crop shows")
      .between(0.01, 1);
  table.add("max_bad_share", &D::max_bad_share, "stop when more than this share of the images cannot be read")
      .between(0, 1);
  table.add("overfit_one_batch", &D::overfit_one_batch, "train on the first batch only, again and again (a check)");
}

// Of steps with a fixed classifier.
struct CleanAheadOptions {
  std::string clean_ahead = "auto";
  // With a GPU, unless equal bits are worth more: a run that goes on begins with a clean pass of its own, which the
  // GPU's library may round otherwise than a larger batch.
  bool looks_ahead(const ComputeOptions& compute, Device device) const {
    return clean_ahead == "on" || (clean_ahead == "auto" && device.is_cuda() && !compute.deterministic);
  }
};

template <class T>
void add_clean_ahead_option(OptionsOf<T>& table) {
  table
      .add("clean_ahead", &CleanAheadOptions::clean_ahead,
           "FIX with fuse, both sides and no infilling: the fixed classifier looks at the next batch together with the "
           "masked images of this one, for a GPU one batch in place of two; the same up to rounding, on the CPU to the "
           "bit and no faster; auto: on a GPU, unless --deterministic is given")
      .one_of({"auto", "on", "off"})
      .changes_on_resume();
}

// Of --precision fp16.
struct LossScaleOptions {
  double loss_scale = 1024;
};

template <class T>
void add_loss_scale_option(OptionsOf<T>& table) {
  table
      .add(
          "loss_scale", &LossScaleOptions::loss_scale,
          "--precision fp16: what gradients inside the classifier are multiplied by, a power of two (what leaves it is "
          "divided in float32); a gradient that overflows updates nobody")
      .between(1, 16777216)
      .changes_on_resume();
}
// Neither without effect nor anything but a power of two: usage errors.
void check_loss_scale(const OptionValues& values, const std::string& precision, double scale);

}  // namespace pen
