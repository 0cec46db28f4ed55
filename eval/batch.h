// The one pipeline of evaluation: a method makes maps from a batch, metrics eat batches and maps. Everything is plain
// spans, so that maps may come from a masker, an attribution method or somebody's files.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace pen::eval {

// Images that are read, mapped and judged together, whatever the batch that the user asked for: enough to keep all
// threads busy, few enough that what is read ahead stays small beside the network, so that memory is the same after
// a hundred images as after a million.
constexpr std::int64_t images_at_once = 32;

// Calls body(first, count) on pieces that cover [0, n), as equal as can be so that one set of buffers does for all, of
// at most `at_once`. A piece that does not fit into the device's memory is cut in two, with a warning, and `at_once`
// keeps what fitted; one image that does not fit is an OutOfMemory. body must have done nothing where it throws one.
void in_fitting_pieces(std::int64_t n, std::int64_t& at_once, Device device,
                       const std::function<void(std::int64_t first, std::int64_t count)>& body);

// Images as the network sees them. All views: they belong to the caller.
struct Batch {
  std::int64_t n = 0;
  std::int64_t size = 0;                 // side S of the square input
  std::span<const float> images;         // (n, S, S, 3), normalised
  std::span<const std::int64_t> labels;  // (n)
  std::span<const std::string> paths;    // (n), for messages and per-image results
};

// Logits (n, classes) of n images (n, S, S, 3) in evaluation mode; n is at least 1.
using Classifier = std::function<std::vector<float>(std::span<const float> images, std::int64_t n)>;

// What a method says about a batch. logits may be empty: then every image counts as classified correctly, as for the
// special modes.
struct Maps {
  std::vector<float> maps;    // (n, S, S)
  std::vector<float> logits;  // (n, classes) of the classifier that was explained, on the whole images
};
using MapMethod = std::function<Maps(const Batch&)>;

}  // namespace pen::eval
