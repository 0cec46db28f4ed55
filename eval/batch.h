// The one pipeline of evaluation: a method makes maps from a batch, metrics eat batches and maps. Everything is plain
// spans, so that maps may come from a masker, an attribution method or somebody's files.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace pen::eval {

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
