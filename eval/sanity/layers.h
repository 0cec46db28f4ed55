// Which layers the parameter randomisation test takes, and their random values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "eval/box.h"
#include "models/classifier.h"

namespace pen::eval::sanity {

// Modules with parameters at most `depth` levels below the network, last first: at depth 2 of a ResNet-50 fc,
// layer4.2, ..., layer1.0, bn1, conv1. A module that holds listed ones is not listed itself. depth is at least 1.
std::vector<std::string> randomised_layers(const Module& network, int depth);

// Replaces layers of a network by random ones and puts them back. Each layer has one set of random values, whichever
// order layers are replaced in: they are drawn once, at construction, from `seed`.
// paper, as the reference draws: weights (K,C,R,S) N(0, sqrt(2 / (K C S))), which is about sqrt(C) below He's and
// lets the signal die away; weights (K,C) U(+-1/sqrt(C)); vectors (n), norm scales and offsets as well as biases,
// U(+-1/sqrt(n)). Running statistics stay.
// strict: what the layer starts training with, from a new network of the same kind: its own initialiser's draws, norm
// scale 1, offset 0, running mean 0, running variance 1.
class Randomiser {
 public:
  // The network stays the caller's, must outlive this and not change otherwise while this lives.
  Randomiser(pen::Classifier& network, Protocol protocol, std::uint64_t seed);
  ~Randomiser() { restore_quietly(); }
  Randomiser(const Randomiser&) = delete;
  Randomiser& operator=(const Randomiser&) = delete;

  // A name that the network does not have is a usage error that suggests the nearest.
  void randomise(const std::string& layer);
  void restore(const std::string& layer);
  void restore();
  void restore_quietly() noexcept;  // for destructors: what goes wrong is a warning

 private:
  void copy(const std::vector<NamedTensor>& from, const std::string& layer);
  pen::Classifier& network_;
  std::vector<NamedTensor> state_, original_, random_;  // in the same order; state_ shares the network's elements
};

}  // namespace pen::eval::sanity
