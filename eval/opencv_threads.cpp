#include "eval/opencv_threads.h"

#include <mutex>
#include <opencv2/core/utility.hpp>

namespace pen::eval {

void keep_opencv_single_threaded() {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
}

}  // namespace pen::eval
