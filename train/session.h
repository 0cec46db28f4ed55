// What training a masker and fitting a classifier share: the data of a run, its checkpoints, its log, its ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "data/loader.h"
#include "data/metadata.h"
#include "models/checkpoint.h"
#include "tensor/upload.h"
#include "train/metrics_log.h"
#include "train/run_state.h"
#include "train/step.h"
#include "train/step_clock.h"

namespace pen {

// How a run ended. interrupted: everything is saved and `--resume` goes on.
enum class RunEnd { finished, interrupted };

// The first `limit` samples of a list (0: all).
class LimitedSource : public SampleSource {
 public:
  LimitedSource(const SampleSource& source, std::int64_t limit);
  std::int64_t size() const override { return size_; }
  std::string path(std::int64_t i) const override { return source_.path(i); }
  std::int64_t label(std::int64_t i) const override { return source_.label(i); }

 private:
  const SampleSource& source_;
  std::int64_t size_;
};

struct SessionOptions {
  std::string folder;  // of the run, made by the caller
  bool resume = false;
  std::int64_t epochs = 1;
  std::int64_t batch_size = 1;
  std::int64_t least_batch = 1;        // smaller ones are left out; see least_batch()
  std::int64_t batches_per_epoch = 0;  // 0: all
  std::int64_t max_steps = 0;          // 0: no bound
  std::int64_t save_every_epochs = 1;  // epoch_NNN.chk; last.chk is written after every epoch
  std::int64_t save_every_steps = 0;   // last.chk also within an epoch; 0: never
  bool overfit_one_batch = false;
  bool hand_next = false;    // steps are given the batch of the step after them, too; see TrainStep::queue
  bool json = false;         // figures on stdout, too
  std::int64_t classes = 0;  // labels must be below
  Device device;
};

// The parts that differ. Figures whose name ends with "loss" have to stay finite.
struct SessionHooks {
  // next: of the step after this one, null where there is none in this epoch, or nobody wants it
  std::function<LateLog(const StepBatch&, const StepBatch* next, std::int64_t epoch, std::int64_t step, Rng& draws)>
      train;
  std::function<Figures(const StepBatch&, Rng& draws)> validate;  // null: no validation
  std::function<std::string(const Figures&)> line;                // the step in words, for the progress line
  std::function<void(Checkpoint&)> describe;                      // facts about the networks and options
  bool higher_is_better = false;  // for best.chk, judged by the validation's (or the epoch's) mean of `best_by`
  std::string best_by = "masked_total___loss";
};

// Steps may overlap: on a GPU each is logged when the next one is queued (see LateLog), and before anything is saved,
// an error is passed on or a run ends. With hand_next a batch is loaded before the step in front of it is queued; what
// goes wrong with it waits for its own turn, and a run that is saved in between goes on with it.
//
// Runs epochs until done, interrupted (Ctrl-C: finishes the step, saves) or a loss is no longer finite (an Error that
// names the step, the images of the batch and the last checkpoint). A run that max_steps ends within an epoch is
// validated and saved like one at the epoch's end, but its last.chk stands within the epoch: resumed with a higher
// max_steps, it goes on as if it had not stopped.
class Session {
 public:
  Session(SessionOptions options, SessionHooks hooks, RunObjects objects, Loader& train, Loader* val, Rng draws);
  RunEnd run();
  std::int64_t steps_done() const { return position_.step; }

 private:
  enum class EpochEnd { complete, out_of_steps, interrupted };
  // A step that is queued and not yet logged.
  struct Queued;
  // A batch of the loader, or what went wrong instead.
  struct Loaded;
  // Takes the batch of the step after the next one from the loader and, where there will be such a step, to the device.
  Loaded load_ahead(std::int64_t batches_wanted);
  EpochEnd run_epoch(std::vector<Figures>& logs);
  void log_step(Queued queued, std::vector<Figures>& logs, log::Progress& progress);
  bool validation(Figures& means);  // false: interrupted
  // Whether a batch is too small to be trained on. If no larger one can come: a usage error.
  bool too_small(const Batch& batch, std::int64_t batches);
  void remove_leftovers() const;  // of saves that a kill or a power cut ended
  void save(const std::string& name);
  void tell_overflows() const;
  [[noreturn]] void stop_not_finite(const Queued& queued, const std::string& figure, double value);

  SessionOptions options_;
  SessionHooks hooks_;
  RunObjects objects_;
  Loader& train_;
  Loader* val_;
  Rng draws_;
  Uploader uploader_;
  RunPosition position_;
  std::unique_ptr<MetricsLog> log_;
  StepClock clock_;
  std::string last_saved_ = "none";
  std::int64_t overflows_ = 0;  // steps without an update
  bool told_of_small_batch_ = false;
};

// The fewest images that can be trained on: 2 where one of the classifier's taps (`taps`; empty: any) has one pixel at
// this input size, because batch norm in training needs two values of each channel; else 1.
std::int64_t least_batch(Classifier& classifier, std::int64_t input_size, const std::vector<int>& taps);

// A loader's batch on the device, valid as long as the uploader says. A label that the classifier does not have is a
// data error naming the image.
StepBatch to_device(const Batch& batch, Uploader& uploader, std::int64_t classes);

}  // namespace pen
