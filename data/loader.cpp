#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <unordered_set>

#include "base/check.h"
#include "base/log.h"

namespace pen {
namespace {

// Streams of the seed: one for orders, one for augmentation, the epoch in the low half.
constexpr std::uint64_t kOrderStream = 0x6f72646572ull << 32, kAugmentStream = 0x637264706full << 32;
// Draws reserved for each sample; a crop and a flip use 23, and more only by rejected draws.
constexpr std::uint64_t kDrawsPerSample = 256;
// Files that the tolerated share is taken of, at least.
constexpr std::int64_t kLeastForShare = 1000;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

namespace detail {

// Batches that nobody uses, kept for their buffers.
struct BatchPool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Batch>> unused;
};

void ReturnBatch::operator()(Batch* batch) const noexcept {
  std::unique_ptr<Batch> owned(batch);
  if (!pool) return;
  try {
    std::lock_guard lock(pool->mutex);
    pool->unused.push_back(std::move(owned));
  } catch (...) {  // no memory for the list: the batch is freed
  }
}

}  // namespace detail

std::vector<std::int64_t> epoch_order(std::int64_t size, std::uint64_t seed, std::int64_t epoch, bool shuffle) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (shuffle) Rng(seed, kOrderStream + static_cast<std::uint64_t>(epoch)).shuffle(order);
  return order;
}

Rng augmentation_rng(std::uint64_t seed, std::int64_t epoch, std::int64_t index) {
  return Rng(seed, kAugmentStream + static_cast<std::uint64_t>(epoch),
             static_cast<std::uint64_t>(index) * kDrawsPerSample);
}

namespace {

// One image's place in a batch, and what became of it.
struct Slot {
  std::int64_t index = 0, label = 0;
  std::string path;
  std::exception_ptr error;
};

// A batch that is being filled.
struct Filling {
  BatchPtr batch;
  std::vector<Slot> slots;
  std::size_t remaining = 0;  // slots that are not done
};

PixelSource pixel_source(const LoaderOptions& options) { return {options.limits, options.decode, options.cache}; }

}  // namespace

struct Loader::State {
  State(const SampleSource& samples, const Transform& how, const LoaderOptions& choices)
      : source(samples), transform(how), options(choices), caller(pixel_source(choices)) {}
  ~State();

  void work();
  void fill(Filling& filling, std::size_t slot, ImagePipeline& pipeline) const noexcept;
  std::unique_ptr<Filling> begin_batch();
  std::unique_ptr<Filling> next_filled();
  void abandon();
  BatchPtr finish(Filling& filling);
  void bad_file(const Slot& slot);

  const SampleSource& source;
  const Transform transform;
  const LoaderOptions options;
  const std::shared_ptr<detail::BatchPool> pool = std::make_shared<detail::BatchPool>();

  // Of the thread that calls next().
  ImagePipeline caller;
  LoaderStats stats;
  std::vector<BadFile> bad;               // of this epoch
  std::int64_t seen = 0;                  // files of this epoch that were handed out or found bad
  std::unordered_set<std::int64_t> told;  // bad files that were reported, once for all epochs
  std::exception_ptr failure;             // what ended this epoch

  // Set by start_epoch while no worker is active, read by all.
  std::vector<std::int64_t> order;
  std::int64_t epoch = -1, end = 0;

  // Shared, under the mutex.
  std::mutex mutex;
  std::condition_variable work_ready, batch_ready;  // the second also tells that a worker became idle
  std::deque<std::unique_ptr<Filling>> queue;       // batches begun and not handed out, in order
  std::int64_t next_batch = 0;                      // position where the next batch begins
  std::size_t next_slot = 0;                        // of the last batch in the queue
  int active = 0;                                   // workers busy with an image
  bool stop = false;
  std::exception_ptr worker_failure;  // not of a file: a worker could not go on

  std::vector<std::thread> workers;  // last: they use all of the above
};

Loader::State::~State() {
  {
    std::lock_guard lock(mutex);
    stop = true;
  }
  work_ready.notify_all();
  for (std::thread& worker : workers) worker.join();
}

// A batch at next_batch, with its slots named; the caller holds the mutex or is the only thread.
std::unique_ptr<Filling> Loader::State::begin_batch() {
  auto filling = std::make_unique<Filling>();
  std::unique_ptr<Batch> batch;
  {
    std::lock_guard lock(pool->mutex);
    if (!pool->unused.empty()) {
      batch = std::move(pool->unused.back());
      pool->unused.pop_back();
    }
  }
  if (!batch) batch = std::make_unique<Batch>();
  filling->batch = BatchPtr(batch.release(), detail::ReturnBatch{pool});
  Batch& b = *filling->batch;
  b.begin = next_batch;
  b.end = std::min(end, b.begin + options.batch_size);
  b.side = transform.size;
  const std::size_t side = static_cast<std::size_t>(b.side);
  b.normalize = transform.normalize;
  if (options.parts)
    b.parts.resize(static_cast<std::size_t>(options.batch_size));
  else
    b.images.resize(static_cast<std::size_t>(options.batch_size) * side * side * 3);
  filling->slots.resize(static_cast<std::size_t>(b.end - b.begin));
  filling->remaining = filling->slots.size();
  for (std::size_t i = 0; i < filling->slots.size(); ++i)
    filling->slots[i].index = order[static_cast<std::size_t>(b.begin) + i];
  next_batch = b.end;
  return filling;
}

void Loader::State::fill(Filling& filling, std::size_t i, ImagePipeline& pipeline) const noexcept {
  Slot& slot = filling.slots[i];
  try {
    slot.path = source.path(slot.index);
    slot.label = source.label(slot.index);
    Rng rng = augmentation_rng(options.seed, epoch, slot.index);
    const std::size_t side = static_cast<std::size_t>(transform.size);
    if (options.parts)
      pipeline.load_part(slot.path, transform, rng, filling.batch->parts[i]);
    else
      pipeline.load(slot.path, transform, rng, filling.batch->images.data() + i * side * side * 3);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

void Loader::State::work() {
  ImagePipeline pipeline(pixel_source(options));
  std::unique_lock lock(mutex);
  for (;;) {
    const auto slot_left = [&] { return !queue.empty() && next_slot < queue.back()->slots.size(); };
    const auto may_begin = [&] {
      return next_batch < end && queue.size() < static_cast<std::size_t>(options.prefetch);
    };
    work_ready.wait(lock, [&] { return stop || slot_left() || may_begin(); });
    if (stop) return;
    if (!slot_left()) {
      try {
        queue.push_back(begin_batch());
        next_slot = 0;
      } catch (...) {  // no memory: next() fails with it
        if (!worker_failure) worker_failure = std::current_exception();
        next_batch = end;
        batch_ready.notify_all();
        continue;
      }
    }
    Filling& filling = *queue.back();
    const std::size_t slot = next_slot++;
    if (slot_left() || may_begin()) work_ready.notify_one();
    ++active;
    lock.unlock();
    fill(filling, slot, pipeline);
    lock.lock();
    --active;
    --filling.remaining;
    if (filling.remaining == 0 || active == 0) batch_ready.notify_all();
  }
}

// Counts an unreadable file, or ends the epoch.
void Loader::State::bad_file(const Slot& slot) {
  std::string reason;
  try {
    std::rethrow_exception(slot.error);
  } catch (const Error& error) {
    if (options.bad_files == BadFiles::fail || error.kind() != ErrorKind::data) throw;
    reason = error.what();
  }
  bad.push_back({slot.index, slot.path, reason});
  if (told.insert(slot.index).second) log::warn(reason + " (skipped)");
  const std::int64_t base = std::max(seen, std::min(static_cast<std::int64_t>(order.size()), kLeastForShare));
  const double share = options.max_bad_share * static_cast<double>(base);
  const auto allowed = static_cast<std::int64_t>(options.max_bad_share > 0 ? std::max(1.0, share) : 0.0);
  if (static_cast<std::int64_t>(bad.size()) <= allowed) return;
  fail(ErrorKind::data,
       str(bad.size(), " of the ", seen, " images read in this epoch could not be used, more than ", allowed,
           " (a share of ", options.max_bad_share, "); the last one: ", reason),
       "repair or remove the files named in the warnings, or allow a larger share");
}

// What is handed out of a complete batch: the images that could be read, moved together. Null if there are none.
BatchPtr Loader::State::finish(Filling& filling) {
  Batch& b = *filling.batch;
  b.size = 0;
  b.labels.clear();
  b.indices.clear();
  b.paths.clear();
  const std::size_t image = static_cast<std::size_t>(b.side) * static_cast<std::size_t>(b.side) * 3;
  for (std::size_t i = 0; i < filling.slots.size(); ++i) {
    Slot& slot = filling.slots[i];
    ++seen;
    if (slot.error) {
      bad_file(slot);
      continue;
    }
    const std::size_t to = static_cast<std::size_t>(b.size);
    if (to != i && options.parts) std::swap(b.parts[to], b.parts[i]);
    if (to != i && !options.parts)
      std::memcpy(b.images.data() + to * image, b.images.data() + i * image, image * sizeof(float));
    b.labels.push_back(slot.label);
    b.indices.push_back(slot.index);
    b.paths.push_back(std::move(slot.path));
    ++b.size;
  }
  if (b.size == 0) return {};
  return std::move(filling.batch);
}

// The next batch with all its slots done, from the workers or by this thread; null at the end.
std::unique_ptr<Filling> Loader::State::next_filled() {
  if (workers.empty()) {
    if (next_batch >= end) return {};
    auto filling = begin_batch();
    for (std::size_t i = 0; i < filling->slots.size(); ++i) fill(*filling, i, caller);
    return filling;
  }
  std::unique_lock lock(mutex);
  batch_ready.wait(lock, [&] { return queue.empty() ? next_batch >= end : queue.front()->remaining == 0; });
  if (queue.empty()) {
    if (worker_failure) std::rethrow_exception(worker_failure);
    return {};
  }
  auto filling = std::move(queue.front());
  queue.pop_front();
  lock.unlock();
  work_ready.notify_all();
  return filling;
}

// Drops the batches under way and waits until no worker is busy.
void Loader::State::abandon() {
  std::unique_lock lock(mutex);
  next_batch = end;
  if (!queue.empty()) next_slot = queue.back()->slots.size();
  batch_ready.wait(lock, [&] { return active == 0; });
  queue.clear();
}

Loader::Loader(const SampleSource& source, const Transform& transform, const LoaderOptions& options) {
  PEN_CHECK_AS(usage, options.batch_size >= 1 && options.batch_size <= 65536, "a batch of ", options.batch_size,
               " images is not in 1..65536");
  PEN_CHECK_AS(usage, options.workers >= 0 && options.workers <= 1024, "a loader with ", options.workers,
               " workers is not in 0..1024");
  PEN_CHECK_AS(usage, options.prefetch >= 1 && options.prefetch <= 1024, "a prefetch of ", options.prefetch,
               " batches is not in 1..1024");
  PEN_CHECK_AS(usage, options.max_bad_share >= 0 && options.max_bad_share <= 1, "a share of bad files of ",
               options.max_bad_share, " is not in 0..1");
  check(transform);
  state_ = std::make_unique<State>(source, transform, options);
  for (int i = 0; i < options.workers; ++i) state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

Loader::~Loader() = default;

void Loader::start_epoch(std::int64_t epoch, std::int64_t start_position) {
  State& s = *state_;
  const std::int64_t size = s.source.size();
  PEN_CHECK_AS(usage, epoch >= 0 && epoch < (std::int64_t{1} << 32), "epoch ", epoch, " is not in 0..2^32-1");
  PEN_CHECK_AS(usage, start_position >= 0 && start_position <= size, "an epoch of ", size,
               " images cannot start at position ", start_position);
  std::vector<std::int64_t> order = epoch_order(size, s.options.seed, epoch, s.options.shuffle);
  s.abandon();
  s.bad.clear();
  s.seen = 0;
  s.failure = nullptr;
  {
    std::lock_guard lock(s.mutex);
    s.order = std::move(order);
    s.epoch = epoch;
    s.worker_failure = nullptr;
    s.next_batch = start_position;
    const std::int64_t batch = s.options.batch_size;
    s.end = s.options.drop_last ? start_position + (size - start_position) / batch * batch : size;
  }
  s.work_ready.notify_all();
}

BatchPtr Loader::next() {
  State& s = *state_;
  PEN_CHECK(s.epoch >= 0, "Loader::next before start_epoch");
  if (s.failure) std::rethrow_exception(s.failure);
  const Clock::time_point start = Clock::now();
  try {
    while (const std::unique_ptr<Filling> filling = s.next_filled()) {
      BatchPtr batch = s.finish(*filling);
      if (!batch) continue;  // not one image of it could be read
      s.stats.last_wait_s = seconds_since(start);
      s.stats.wait_s += s.stats.last_wait_s;
      ++s.stats.batches;
      s.stats.images += batch->size;
      return batch;
    }
  } catch (...) {
    s.failure = std::current_exception();
    throw;
  }
  return {};
}

std::int64_t Loader::batches_per_epoch() const {
  const std::int64_t size = state_->source.size(), batch = state_->options.batch_size;
  return state_->options.drop_last ? size / batch : (size + batch - 1) / batch;
}

const std::vector<BadFile>& Loader::bad_files() const { return state_->bad; }
const LoaderStats& Loader::stats() const { return state_->stats; }

}  // namespace pen
