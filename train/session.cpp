#include "train/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/interrupt.h"
#include "base/log.h"

namespace pen {

LimitedSource::LimitedSource(const SampleSource& source, std::int64_t limit)
    : source_(source), size_(limit > 0 ? std::min(limit, source.size()) : source.size()) {}

StepBatch to_device(const Batch& batch, Device device, std::int64_t classes) {
  for (std::size_t i = 0; i < batch.labels.size(); ++i)
    PEN_CHECK_AS(data, batch.labels[i] >= 0 && batch.labels[i] < classes, "'", batch.paths[i], "' has class ",
                 batch.labels[i], ", the classifier has ", classes, " classes");
  const std::int64_t side = batch.side;
  const Shape shape{batch.size, side, side, 3};
  return {
      Tensor::from_memory(batch.images.data(), static_cast<std::size_t>(numel_of(shape)), shape, DType::f32, device),
      batch.labels};
}

Session::Session(SessionOptions options, SessionHooks hooks, RunObjects objects, Loader& train, Loader* val, Rng draws)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      objects_(objects),
      train_(train),
      val_(val),
      draws_(draws) {
  if (options_.resume) {
    const std::string path = options_.folder + "/last.chk";
    position_ = restore_run(read_checkpoint(path), objects_);
    draws_.set_position(position_.draws);
    last_saved_ = path;
    log::info(str("resumed from ", path, ": epoch ", position_.epoch, ", step ", position_.step));
  }
  log_ = std::make_unique<MetricsLog>(options_.folder, position_.step, position_.epoch);
}

RunEnd Session::run() {
  while (position_.epoch < options_.epochs) {
    std::vector<Figures> logs;
    if (!run_epoch(logs)) {
      save("last.chk");
      log::info("interrupted after step " + std::to_string(position_.step) + "; saved " + last_saved_ +
                ", --resume goes on");
      return RunEnd::interrupted;
    }
    const bool out_of_steps = options_.max_steps > 0 && position_.step >= options_.max_steps;
    Figures summary = mean_figures(logs);
    if (val_) {
      const Figures val = validation();
      for (const auto& [name, value] : val) summary.emplace_back("val_" + name, value);
    }
    log_->epoch(position_.epoch, summary);
    const std::string key = val_ ? "val_" + hooks_.best_by : hooks_.best_by;
    bool best = false;
    for (const auto& [name, value] : summary) {
      if (name != key) continue;
      best = !position_.has_best || (hooks_.higher_is_better ? value > position_.best : value < position_.best);
      if (best) position_.best = value;
      position_.has_best = true;
    }
    const std::int64_t finished = position_.epoch++;
    position_.data_position = 0;
    save("last.chk");
    if (best) save("best.chk");
    if ((finished + 1) % options_.save_every_epochs == 0 || position_.epoch == options_.epochs || out_of_steps)
      save(fmt::format("epoch_{:03}.chk", finished));
    if (out_of_steps) break;
  }
  return RunEnd::finished;
}

bool Session::run_epoch(std::vector<Figures>& logs) {
  using clock = std::chrono::steady_clock;
  const auto seconds = [](clock::time_point a, clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
  };
  train_.start_epoch(position_.epoch, position_.data_position);
  const std::int64_t all = train_.batches_per_epoch();
  const std::int64_t wanted = options_.batches_per_epoch > 0 ? std::min(options_.batches_per_epoch, all) : all;
  log::Progress progress(fmt::format("epoch {} step", position_.epoch), wanted, "steps");
  BatchPtr kept;  // with overfit_one_batch
  std::int64_t batch_size = 0;
  for (;;) {
    if (interrupt::requested()) return false;
    if (options_.max_steps > 0 && position_.step >= options_.max_steps) break;
    if (options_.overfit_one_batch && position_.step >= (position_.epoch + 1) * wanted) break;
    const auto begin = clock::now();
    BatchPtr fresh = kept ? nullptr : train_.next();
    if (!kept && !fresh) break;
    const Batch& batch = kept ? *kept : *fresh;
    if (batch_size == 0) batch_size = std::max<std::int64_t>(batch.end - batch.begin, 1);
    // Which batch of the epoch this is follows from its position, also after resuming.
    if (!kept && batch.begin / batch_size >= wanted) break;
    const auto loaded = clock::now();
    const StepBatch input = to_device(batch, options_.device, options_.classes);
    Figures figures = hooks_.train(input, position_.epoch, position_.step, draws_);
    const auto done = clock::now();
    for (const auto& [name, value] : figures)
      if (name == hooks_.watched && !std::isfinite(value)) stop_not_finite(batch, name, value);
    logs.push_back(figures);
    figures.emplace_back("step_ms", 1e3 * seconds(begin, done));
    figures.emplace_back("load_ms", 1e3 * seconds(begin, loaded));
    log_->step(position_.epoch, position_.step, figures);
    ++position_.step;
    if (!options_.overfit_one_batch) position_.data_position = batch.end;
    progress.advance(
        1, fmt::format("{} | {:.0f} ms (load {:.0f}) | {:.1f} img/s", hooks_.line(figures), 1e3 * seconds(begin, done),
                       1e3 * seconds(begin, loaded), static_cast<double>(batch.size) / seconds(begin, done)));
    if (options_.overfit_one_batch && fresh) kept = std::move(fresh);
    if (options_.save_every_steps > 0 && position_.step % options_.save_every_steps == 0) save("last.chk");
  }
  for (const BadFile& bad : train_.bad_files()) log::detail("left out: " + bad.path + ": " + bad.reason);
  return true;
}

Figures Session::validation() {
  std::vector<Figures> logs;
  val_->start_epoch(0);
  log::Progress progress("validation", val_->batches_per_epoch(), "batches");
  // Validation's draws do not move the run's: with or without it, training is the same.
  Rng draws(draws_.seed(), draws_.stream() + 0x76616cu, 0);
  while (BatchPtr batch = val_->next()) {
    logs.push_back(hooks_.validate(to_device(*batch, options_.device, options_.classes), draws));
    progress.advance(1, hooks_.line(logs.back()));
  }
  const Figures means = mean_figures(logs);
  log_->validation(position_.epoch, position_.step, means);
  if (!means.empty()) log::info("validation | " + hooks_.line(means));
  return means;
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

void Session::stop_not_finite(const Batch& batch, const std::string& figure, double value) {
  std::string paths;
  for (std::size_t i = 0; i < batch.paths.size() && i < 8; ++i) paths += "\n  " + batch.paths[i];
  if (batch.paths.size() > 8) paths += str("\n  and ", batch.paths.size() - 8, " more");
  fail(ErrorKind::run,
       str(figure, " is ", value, " at step ", position_.step, " (epoch ", position_.epoch, "); its batch:", paths,
           "\nlast checkpoint: ", last_saved_),
       "a lower learning rate (--lr, --lr_casme) often helps; the weights of the last checkpoint are finite");
}

}  // namespace pen
