// OpenCV inside our own threads.
#pragma once

namespace pen::eval {

// Images are spread over our own threads, so that OpenCV must not start a second pool. Idempotent, for the whole
// process: the setting is OpenCV's only global state that we touch, and nothing here wants it otherwise.
void keep_opencv_single_threaded();

}  // namespace pen::eval
