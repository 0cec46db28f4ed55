#include "eval/saliency_metric.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "eval/opencv_threads.h"

namespace pen::eval {

void crop_and_enlarge(std::span<const float> image, std::int64_t size, const Box& box, std::span<float> crop) {
  const std::int64_t values = size * size * 3;
  PEN_CHECK(size > 0 && size <= 1 << 14, "crop: image side ", size, " is not in 1..16384");
  PEN_CHECK(static_cast<std::int64_t>(image.size()) == values && static_cast<std::int64_t>(crop.size()) == values,
            "crop: image has ", image.size(), " values and crop ", crop.size(), ", expected ", values);
  const Box inside = clipped(box, size);
  if (area(inside) == 0) {
    std::fill(crop.begin(), crop.end(), 0.0f);
    return;
  }
  keep_opencv_single_threaded();
  const int side = static_cast<int>(size);
  // A source that is only read: OpenCV has no read-only matrix.
  const cv::Mat whole(side, side, CV_32FC3, const_cast<float*>(image.data()));
  const cv::Rect cut(static_cast<int>(inside.xmin), static_cast<int>(inside.ymin),
                     static_cast<int>(inside.xmax - inside.xmin), static_cast<int>(inside.ymax - inside.ymin));
  cv::Mat out(side, side, CV_32FC3, crop.data());
  cv::resize(whole(cut), out, {side, side}, 0, 0, cv::INTER_CUBIC);
}

double log_area(const Box& box, std::int64_t size) {
  const double share = static_cast<double>(area(clipped(box, size))) / static_cast<double>(size * size);
  return std::log(std::clamp(share, 0.05, 1.0));
}

double log_softmax(std::span<const float> logits, std::int64_t label) {
  PEN_CHECK_AS(data, label >= 0 && label < static_cast<std::int64_t>(logits.size()), "label ", label,
               " is out of range: the classifier has ", logits.size(), " classes");
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - largest);
  return logits[static_cast<std::size_t>(label)] - largest - std::log(sum);
}

std::int64_t argmax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

std::vector<float> enlarged_crops(const Batch& batch, std::span<const Crop> crops) {
  const auto values = static_cast<std::size_t>(batch.size * batch.size * 3);
  PEN_CHECK(batch.images.size() == static_cast<std::size_t>(batch.n) * values, "saliency metric: images have ",
            batch.images.size(), " values, expected ", batch.n, " x ", batch.size, " x ", batch.size, " x 3");
  std::vector<float> enlarged(crops.size() * values);
  parallel_for(static_cast<std::int64_t>(crops.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const std::size_t image = static_cast<std::size_t>(crops[i].image);
      crop_and_enlarge(batch.images.subspan(image * values, values), batch.size, crops[i].box,
                       std::span(enlarged).subspan(i * values, values));
    }
  });
  return enlarged;
}

std::vector<SaliencyTerms> saliency_terms(const Batch& batch, std::span<const Crop> crops, const Classifier& classifier,
                                          std::vector<float> first_crops) {
  const std::int64_t total = static_cast<std::int64_t>(crops.size());
  PEN_CHECK(static_cast<std::int64_t>(batch.labels.size()) == batch.n, "saliency metric: ", batch.labels.size(),
            " labels for ", batch.n, " images");
  std::vector<SaliencyTerms> terms(crops.size());
  std::vector<float> enlarged = std::move(first_crops);
  for (std::int64_t first = 0; first < total; first += batch.n) {
    const std::int64_t count = std::min(batch.n, total - first);
    if (first > 0 || enlarged.empty())
      enlarged = enlarged_crops(batch, crops.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    PEN_CHECK(static_cast<std::int64_t>(enlarged.size()) == count * batch.size * batch.size * 3,
              "saliency metric: ", enlarged.size(), " values of ", count, " crops");
    const std::vector<float> logits = classifier(enlarged, count);
    PEN_CHECK(!logits.empty() && logits.size() % static_cast<std::size_t>(count) == 0,
              "saliency metric: the classifier gave ", logits.size(), " logits for ", count, " crops");
    const std::size_t classes = logits.size() / static_cast<std::size_t>(count);
    for (std::int64_t i = 0; i < count; ++i) {
      const Crop& crop = crops[static_cast<std::size_t>(first + i)];
      const auto row = std::span(logits).subspan(static_cast<std::size_t>(i) * classes, classes);
      const std::int64_t label = batch.labels[static_cast<std::size_t>(crop.image)];
      terms[static_cast<std::size_t>(first + i)] = {log_area(crop.box, batch.size), log_softmax(row, label),
                                                    argmax(row) == label};
    }
  }
  return terms;
}

}  // namespace pen::eval
