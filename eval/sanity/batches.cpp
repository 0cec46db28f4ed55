#include "eval/sanity/batches.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/interrupt.h"
#include "data/loader.h"

namespace pen::eval::sanity {

Metadata tested_images(const SanityOptions& options) {
  Metadata all = Metadata::read(options.val_json);
  std::int64_t batches = options.num_batches;
  if (batches < 0) batches = options.what == "mprt" && options.protocol == "paper" ? 1 : 0;
  std::int64_t count = all.size();
  if (options.limit > 0) count = std::min(count, options.limit);
  if (batches > 0) count = std::min(count, batches * options.batch_size);
  if (count == all.size()) return all;
  std::vector<std::uint32_t> first(static_cast<std::size_t>(count));
  std::iota(first.begin(), first.end(), 0u);
  return all.select(first);
}

bool for_each_batch(const Metadata& images, const SanityOptions& options, std::int64_t size, std::int64_t maps,
                    const Look& look) {
  LoaderOptions loading;
  loading.batch_size = static_cast<int>(options.batch_size);
  loading.workers = static_cast<int>(options.workers);
  loading.bad_files = BadFiles::fail;
  Loader loader(images, Transform::score(static_cast<int>(size), options.break_ratio), loading);
  log::Progress progress("sanity " + options.what, maps, "map");
  loader.start_epoch(0);
  while (const BatchPtr loaded = loader.next()) {
    const std::int64_t n = loaded->size;
    const Batch batch{n, size, std::span(loaded->images).first(static_cast<std::size_t>(n * size * size * 3)),
                      loaded->labels, loaded->paths};
    if (!look(batch, progress) || interrupt::requested()) return false;
  }
  progress.finish();
  return true;
}

Plotted plotted_images(const SanityOptions& options, const Batch& first) {
  Plotted out;
  out.size = first.size;
  const auto values = static_cast<std::size_t>(first.size * first.size * 3);
  for (const std::int64_t place : options.plot_img_i) {
    PEN_CHECK_AS(usage, place < first.n, "--plot_img_i: there is no image ", place, " in the first batch, which has ",
                 first.n);
    const auto i = static_cast<std::size_t>(place);
    const auto image = first.images.subspan(i * values, values);
    out.images.insert(out.images.end(), image.begin(), image.end());
    out.targets.push_back(first.labels[i]);
    out.paths.push_back(first.paths[i]);
  }
  return out;
}

void check_labels(const Metadata& images, const std::string& list, std::int64_t classes, const std::string& what) {
  PEN_CHECK_AS(data, images.class_count() == classes, "'", list, "' has ", images.class_count(), " classes, ", what,
               " knows ", classes);
}

}  // namespace pen::eval::sanity
