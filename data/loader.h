// Batches of images for training and scoring, decoded by worker threads.
//
// What a batch holds is a function of (seed, epoch, position) alone: the order is a shuffle seeded by (seed, epoch),
// and a sample's crop and flip are drawn from (seed, epoch, its index in the source). The number of workers, the
// prefetch and the place where an epoch was resumed change nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/sample_source.h"
#include "data/transforms.h"

namespace pen {

enum class BadFiles {
  fail,  // the first unreadable file, in the loader's order, ends the run with its error (scoring, preparation)
  skip,  // it is reported, counted and left out of its batch (training), within LoaderOptions::max_bad_share
};

struct LoaderOptions {
  int batch_size = 1;
  int workers = 0;   // threads; 0 decodes in the thread that calls next()
  int prefetch = 2;  // batches decoded ahead of the one that is used; at least 1 with workers
  bool shuffle = false;
  bool drop_last = false;  // leave out a last batch of fewer than batch_size positions
  std::uint64_t seed = 0;
  BadFiles bad_files = BadFiles::fail;
  // With `skip`, an epoch stops with an error of kind data once more than this share of its files was unreadable. The
  // share is taken of the files seen so far, but of at least the first 1000 (or of all, if there are fewer), so that
  // an early bad file does not end a long run; one bad file is always tolerated unless the share is 0.
  double max_bad_share = 0.01;
  DecodeLimits limits;
  Decode decode = Decode::exact;
  std::shared_ptr<PixelCache> cache = nullptr;  // may serve several loaders; made with the same `decode`
  // Hand out source pixels and tables (Batch::parts) for a device that resizes and normalises, in place of images.
  bool parts = false;
};

// A batch. Images that could not be read are left out, so `size` may be below the batch size (never 0).
struct Batch {
  std::int64_t size = 0;
  int side = 0;                       // the transform's output size
  std::vector<float> images;          // (size, side, side, 3), normalised; the buffer may be larger
  std::vector<PixelPart> parts;       // with LoaderOptions::parts, instead: (size); the buffer may be larger
  Normalize normalize;                // the transform's
  std::vector<std::int64_t> labels;   // (size)
  std::vector<std::int64_t> indices;  // (size), in the source
  std::vector<std::string> paths;     // (size)
  // Positions of the epoch's order that this batch covers: [begin, end). An epoch resumes at `end`.
  std::int64_t begin = 0, end = 0;
};

// Hands the batch's buffers back to the loader when it is destroyed; may outlive the loader.
namespace detail {
struct BatchPool;
struct ReturnBatch {
  std::shared_ptr<BatchPool> pool;
  void operator()(Batch* batch) const noexcept;
};
}  // namespace detail
using BatchPtr = std::unique_ptr<Batch, detail::ReturnBatch>;

struct BadFile {
  std::int64_t index = 0;  // in the source
  std::string path, reason;
};

struct LoaderStats {
  std::int64_t batches = 0, images = 0;  // handed out since construction
  double wait_s = 0;                     // time that next() kept its caller, in total
  double last_wait_s = 0;                // and in the last call
};

class Loader {
 public:
  // `source` must outlive the loader. Options that make no sense: Error of kind usage.
  Loader(const SampleSource& source, const Transform& transform, const LoaderOptions& options);
  ~Loader();  // at any time: stops the workers after the image that each is busy with
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Begins an epoch at a position of its order (0, or a Batch::end); abandons the one that runs.
  void start_epoch(std::int64_t epoch, std::int64_t start_position = 0);
  // The next batch, in order; null at the end of the epoch. Throws what stopped the loader (see BadFiles; anything else
  // that a worker threw), and throws it again if called again.
  BatchPtr next();

  // Batches of a whole epoch.
  std::int64_t batches_per_epoch() const;
  // Unreadable files of this epoch, in order, as far as batches were handed out.
  const std::vector<BadFile>& bad_files() const;
  const LoaderStats& stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The order of an epoch: a permutation of [0, size), or the identity without shuffling.
std::vector<std::int64_t> epoch_order(std::int64_t size, std::uint64_t seed, std::int64_t epoch, bool shuffle);
// The draws for one sample's crop and flip.
Rng augmentation_rng(std::uint64_t seed, std::int64_t epoch, std::int64_t index);

}  // namespace pen
