#include "train/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "base/interrupt.h"
#include "base/log.h"
#include "tensor/autograd.h"
#include "tensor/pixels.h"

namespace pen {

LimitedSource::LimitedSource(const SampleSource& source, std::int64_t limit)
    : source_(source), size_(limit > 0 ? std::min(limit, source.size()) : source.size()) {}

StepBatch to_device(const Batch& batch, Uploader& uploader, std::int64_t classes) {
  for (std::size_t i = 0; i < batch.labels.size(); ++i)
    PEN_CHECK_AS(data, batch.labels[i] >= 0 && batch.labels[i] < classes, "'", batch.paths[i], "' has class ",
                 batch.labels[i], ", the classifier has ", classes, " classes");
  const std::int64_t side = batch.side;
  const auto size = static_cast<std::size_t>(batch.size);
  if (!batch.parts.empty()) {
    kernels::PixelNormal normal;
    std::copy(batch.normalize.mean.begin(), batch.normalize.mean.end(), normal.mean);
    std::copy(batch.normalize.std.begin(), batch.normalize.std.end(), normal.std);
    return {made_of_pixels(std::span(batch.parts).first(size), batch.side, normal, uploader), batch.labels};
  }
  const Shape shape{batch.size, side, side, 3};
  return {uploader.upload(batch.images.data(), static_cast<std::size_t>(numel_of(shape)), shape, DType::f32),
          batch.labels};
}

std::int64_t least_batch(Classifier& classifier, std::int64_t input_size, const std::vector<int>& taps) {
  const NoGrad no_grad;
  const bool was_training = classifier.is_training();
  classifier.eval();
  const ClassifierOutput out =
      classifier.forward(Tensor::zeros({1, input_size, input_size, 3}, classifier.dtype(), classifier.device()));
  classifier.train(was_training);
  std::int64_t pixels = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 0; i < out.taps.size(); ++i)
    if (taps.empty() || std::find(taps.begin(), taps.end(), static_cast<int>(i)) != taps.end())
      pixels = std::min(pixels, out.taps[i].size(1) * out.taps[i].size(2));
  return pixels > 1 ? 1 : 2;
}

Session::Session(SessionOptions options, SessionHooks hooks, RunObjects objects, Loader& train, Loader* val, Rng draws)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      objects_(objects),
      train_(train),
      val_(val),
      draws_(draws),
      uploader_(options_.device, options_.hand_next ? 2 : 1) {
  if (options_.resume) {
    remove_leftovers();
    const std::string path = options_.folder + "/last.chk";
    position_ = restore_run(read_checkpoint(path), objects_);
    draws_.set_position(position_.draws);
    last_saved_ = path;
    log::info(str("resumed from ", path, ": epoch ", position_.epoch, ", step ", position_.step));
  }
  log_ = std::make_unique<MetricsLog>(options_.folder, position_.step, position_.epoch, options_.json);
}

void Session::remove_leftovers() const {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder))
    if (entry.path().filename().string().find(".chk.tmp-") != std::string::npos) found.push_back(entry.path());
  std::error_code ignored;
  for (const auto& path : found) std::filesystem::remove(path, ignored);
}

RunEnd Session::run() {
  std::vector<Figures> logs = log_->resumed();
  const auto out_of_steps = [&] { return options_.max_steps > 0 && position_.step >= options_.max_steps; };
  while (position_.epoch < options_.epochs) {
    if (out_of_steps() && logs.empty()) break;
    const EpochEnd end = run_epoch(logs);
    Figures summary = mean_figures(logs), val;
    if (end == EpochEnd::interrupted || (val_ && !validation(val))) {
      tell_overflows();
      save("last.chk");
      log::info("interrupted after step " + std::to_string(position_.step) + "; saved " + last_saved_ +
                ", --resume goes on");
      return RunEnd::interrupted;
    }
    for (const auto& [name, value] : val) summary.emplace_back("val_" + name, value);
    log_->epoch(position_.epoch, summary);
    const RunPosition within = position_;
    const std::string key = val_ ? "val_" + hooks_.best_by : hooks_.best_by;
    bool best = false;
    for (const auto& [name, value] : summary) {
      if (name != key || !std::isfinite(value)) continue;
      best = !position_.has_best || (hooks_.higher_is_better ? value > position_.best : value < position_.best);
      if (best) position_.best = value;
      position_.has_best = true;
    }
    const std::int64_t finished = position_.epoch++;
    position_.data_position = 0;
    // last.chk comes last: a run that is killed in between repeats the end of this epoch and lacks nothing.
    if (best) save("best.chk");
    const bool last = position_.epoch == options_.epochs || out_of_steps();
    if (last || (finished + 1) % options_.save_every_epochs == 0) save(fmt::format("epoch_{:03}.chk", finished));
    if (end == EpochEnd::out_of_steps) position_ = within;
    save("last.chk");
    if (end == EpochEnd::out_of_steps) break;
    logs.clear();
  }
  tell_overflows();
  return RunEnd::finished;
}

void Session::tell_overflows() const {
  if (overflows_ > 1) log::warn(str(overflows_, " steps left out an update because a gradient overflowed in fp16"));
}

using Clock = std::chrono::steady_clock;

struct Session::Queued {
  LateLog log;
  std::int64_t step, size;
  std::vector<std::string> paths;  // of its images
  StepClock::Load load;
};

struct Session::Loaded {
  BatchPtr batch;  // null at the epoch's end
  StepClock::Load load;
  std::optional<StepBatch> input;  // on the device, if it is there already
  std::exception_ptr failure;      // for the step that wanted it: the one before has to be run
};

Session::Loaded Session::load_ahead(std::int64_t batches_wanted) {
  Loaded out;
  out.load.begin = Clock::now();
  try {
    out.batch = train_.next();
  } catch (...) {
    out.failure = std::current_exception();
  }
  out.load.end = Clock::now();
  // The step that is about to be queued does not need this time.
  clock_.loaded(out.load);
  if (!out.batch || out.batch->begin / options_.batch_size >= batches_wanted || out.batch->size < options_.least_batch)
    return out;
  try {
    out.input = to_device(*out.batch, uploader_, options_.classes);
  } catch (...) {
    out.failure = std::current_exception();
  }
  return out;
}

// Waits for the step's figures and writes them down.
void Session::log_step(Queued queued, std::vector<Figures>& logs, log::Progress& progress) {
  Figures figures = queued.log.read();
  const double step = clock_.ended(queued.load, Clock::now()), load = queued.load.seconds();
  for (const auto& [name, value] : figures)
    if (name.ends_with("loss") && !std::isfinite(value)) stop_not_finite(queued, name, value);
  for (const auto& [name, value] : figures)
    if (name == "overflow" && value > 0 && overflows_++ == 0)
      log::warn(str("step ", queued.step,
                    ": a gradient overflowed inside the classifier in fp16: nobody is updated by "
                    "it, nor will be by others like it; if there are many, give a lower --loss_scale"));
  figures.emplace_back("step_ms", 1e3 * step);
  figures.emplace_back("load_ms", 1e3 * load);
  log_->step(position_.epoch, queued.step, figures);
  progress.advance(1, fmt::format("{} | {:.0f} ms (load {:.0f}) | {:.1f} img/s", hooks_.line(figures), 1e3 * step,
                                  1e3 * load, static_cast<double>(queued.size) / step));
  logs.push_back(std::move(figures));
}

Session::EpochEnd Session::run_epoch(std::vector<Figures>& logs) {
  // One batch for the whole run: the first of the first epoch.
  train_.start_epoch(options_.overfit_one_batch ? 0 : position_.epoch, position_.data_position);
  const std::int64_t all = train_.batches_per_epoch();
  const std::int64_t wanted = options_.batches_per_epoch > 0 ? std::min(options_.batches_per_epoch, all) : all;
  log::Progress progress(fmt::format("epoch {} step", position_.epoch), wanted, "steps");
  BatchPtr kept;  // with overfit_one_batch
  const bool hand_next = options_.hand_next && !options_.overfit_one_batch;
  std::optional<Loaded> ahead;  // the batch of the step that comes
  // On a GPU a step is logged when the next one is queued, so that the GPU is never out of work; before anything is
  // saved, and at every end, all of them are.
  std::optional<Queued> queued;
  const auto finish = [&] {
    if (queued) log_step(*std::exchange(queued, std::nullopt), logs, progress);
  };
  const auto steps = [&] {
    for (;;) {
      if (interrupt::requested()) return EpochEnd::interrupted;
      if (options_.overfit_one_batch && position_.step >= (position_.epoch + 1) * wanted) break;
      Loaded now;
      const bool at_hand = ahead.has_value();
      if (at_hand) {
        now = *std::exchange(ahead, std::nullopt);
        if (now.failure) std::rethrow_exception(now.failure);
      } else {
        now.load.begin = Clock::now();
        if (!kept) now.batch = train_.next();
        now.load.end = Clock::now();
        // Whatever becomes of the batch: a step that is under way did not need this time.
        if (queued) clock_.loaded(now.load);
      }
      BatchPtr& fresh = now.batch;
      if (!kept && !fresh) break;
      const Batch& batch = kept ? *kept : *fresh;
      // Which batch of the epoch this is follows from its position, also after resuming.
      if (!kept && batch.begin / options_.batch_size >= wanted) break;
      // Judged here, so that a run whose last step is an epoch's last has finished that epoch.
      if (options_.max_steps > 0 && position_.step >= options_.max_steps) return EpochEnd::out_of_steps;
      if (too_small(batch, all)) {
        position_.data_position = batch.end;
        continue;
      }
      if (!at_hand && !queued) clock_.loaded(now.load);
      if (!now.input) now.input = to_device(batch, uploader_, options_.classes);
      if (hand_next && !(options_.max_steps > 0 && position_.step + 1 >= options_.max_steps))
        ahead = load_ahead(wanted);
      const StepBatch* const next = ahead && ahead->input ? &*ahead->input : nullptr;
      LateLog log = hooks_.train(*now.input, next, position_.epoch, position_.step, draws_);
      finish();
      queued.emplace(Queued{std::move(log), position_.step, batch.size, batch.paths, now.load});
      if (!options_.device.is_cuda()) finish();
      ++position_.step;
      if (!options_.overfit_one_batch) position_.data_position = batch.end;
      if (options_.overfit_one_batch && fresh) kept = std::move(fresh);
      if (options_.save_every_steps > 0 && position_.step % options_.save_every_steps == 0) {
        finish();
        save("last.chk");
        clock_.resumed(Clock::now());
      }
    }
    return EpochEnd::complete;
  };
  EpochEnd end;
  try {
    end = steps();
  } catch (...) {
    finish();  // a step that is queued is logged whatever became of the next; if it went wrong itself, that came first
    throw;
  }
  finish();
  if (end == EpochEnd::complete)
    for (const BadFile& bad : train_.bad_files()) log::detail("left out: " + bad.path + ": " + bad.reason);
  return end;
}

bool Session::too_small(const Batch& batch, std::int64_t batches) {
  if (batch.size >= options_.least_batch) return false;
  const std::string why =
      str("a batch of ", batch.size, " image cannot be trained on: feature maps have one pixel at side ", batch.side,
          ", and batch norm needs two values of each channel");
  if (options_.batch_size < options_.least_batch || batches == 1 || options_.overfit_one_batch)
    fail(ErrorKind::usage, why, "give a larger --batch_size or --input_size, or more images");
  if (!told_of_small_batch_) log::warn(why + "; it is left out, in every epoch");
  told_of_small_batch_ = true;
  return true;
}

bool Session::validation(Figures& means) {
  std::vector<Figures> logs;
  val_->start_epoch(0);
  log::Progress progress("validation", val_->batches_per_epoch(), "batches");
  // Validation's draws do not move the run's: with or without it, training is the same.
  Rng draws(draws_.seed(), draws_.stream() + 0x76616cu, 0);
  while (BatchPtr batch = val_->next()) {
    if (interrupt::requested()) return false;
    logs.push_back(hooks_.validate(to_device(*batch, uploader_, options_.classes), draws));
    progress.advance(1, hooks_.line(logs.back()));
  }
  means = mean_figures(logs);
  log_->validation(position_.epoch, position_.step, means);
  if (!means.empty()) log::info("validation | " + hooks_.line(means));
  return true;
}

void Session::save(const std::string& name) {
  position_.draws = draws_.position();
  Checkpoint checkpoint;
  hooks_.describe(checkpoint);
  save_run(objects_, position_, checkpoint);
  const std::string path = options_.folder + "/" + name;
  write_checkpoint(path, checkpoint);
  last_saved_ = path;
}

void Session::stop_not_finite(const Queued& queued, const std::string& figure, double value) {
  std::string paths;
  for (std::size_t i = 0; i < queued.paths.size() && i < 8; ++i) paths += "\n  " + queued.paths[i];
  if (queued.paths.size() > 8) paths += str("\n  and ", queued.paths.size() - 8, " more");
  fail(ErrorKind::run,
       str(figure, " is ", std::isnan(value) ? "nan" : str(value), " at step ", queued.step, " (epoch ",
           position_.epoch, "); its batch:", paths, "\nlast checkpoint: ", last_saved_),
       "a lower learning rate often helps; --resume goes on from the last checkpoint, if there is one");
}

}  // namespace pen
