// The model parameter randomisation test (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018): maps of a
// network whose layers are replaced by random ones, against those of the network as it was trained. Maps that stay
// alike do not show what the network has learned.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/sanity/layers.h"
#include "eval/sanity/subject.h"
#include "eval/sanity/tally.h"

namespace pen::eval::sanity {

struct MprtSettings {
  Protocol protocol = Protocol::paper;
  int depth = 2;
  bool cascading = true;    // layers from the last to the first, all that came before stay random
  bool independent = true;  // one layer at a time
  std::uint64_t seed = 0;   // of the random layers
};

// The kinds' names in results, and that of the heading under which nothing is randomised.
inline constexpr const char *cascading_name = "cascading", *independent_name = "independent", *normal_name = "normal";

class Mprt {
 public:
  Mprt(Subject subject, const MprtSettings& settings);

  // Called while the network is in the state of heading `i`, before the maps are compared. `batch` has the targets as
  // labels.
  using Visit = std::function<void(std::size_t i, const Batch& batch)>;
  // Tests one batch under every heading: first the layers of each kind, at last "normal", which makes the original's
  // maps once more and so also shows that the network is whole again. done(n) after each n maps; when it returns false
  // the batch is given up and add() returns false, with the network as it was.
  bool add(const Batch& batch, const std::function<bool(std::int64_t)>& done = {}, const Visit& visit = {});

  // For each kind "normal", then the layers in the order of randomisation.
  const std::vector<Heading>& headings() const { return headings_; }
  const std::vector<std::string>& layers() const { return layers_; }
  const Subject& subject() const { return subject_; }
  // Maps that a batch of n images takes.
  std::int64_t maps_of(std::int64_t n) const;

 private:
  Subject subject_;
  MprtSettings settings_;
  std::vector<std::string> layers_;
  std::vector<Heading> headings_;
  Randomiser randomiser_;
};

// Figures of maps (n, S, S) against the originals, in parallel.
std::vector<ReferenceMap> references_of(std::span<const float> maps, std::int64_t n, std::int64_t size,
                                        Protocol protocol);
std::vector<MapScores> compare(const std::vector<ReferenceMap>& references, std::span<const float> maps);

}  // namespace pen::eval::sanity
