// Plans of a GPU library on disk, one small file each. A plan is an opaque text that the library can read again; what
// it is for is named by the graph's key, the library's version and the GPU, all three of which must agree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pen::kernels {

struct PlanIdentity {
  std::string graph;    // key_of(ConvSpec)
  std::string library;  // "cuDNN 91900"
  std::string gpu;      // "NVIDIA H100 80GB HBM3"
};

struct StoredPlan {
  std::string variant;      // which of our ways to run the graph the text is for
  std::string text;         // the library's own description of the plan
  double milliseconds = 0;  // measured when it was chosen
};

class PlanStore {
 public:
  // An empty folder's name: nothing is kept. At most `most` files; the ones not used for longest go first.
  explicit PlanStore(std::string folder, std::size_t most = 4096);
  const std::string& folder() const { return folder_; }

  // Nothing where there is no file for the identity. A file that is damaged, of another format or identity is a warning
  // and nothing.
  std::optional<StoredPlan> load(const PlanIdentity& identity) const noexcept;
  // Written whole or not at all; a folder that cannot be written is a warning, once.
  void save(const PlanIdentity& identity, const StoredPlan& plan) noexcept;
  // Where a plan is kept.
  std::string path_of(const PlanIdentity& identity) const;

 private:
  void drop_oldest() const;
  std::string folder_;
  std::size_t most_;
  bool warned_ = false;
};

// $PENUMBRA_CACHE/plans, else $XDG_CACHE_HOME/penumbra/plans, else $HOME/.cache/penumbra/plans, else "". PENUMBRA_CACHE
// set to nothing: "".
std::string default_plan_folder();

}  // namespace pen::kernels
