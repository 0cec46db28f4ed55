// Infillers: what stands in for the pixels that a mask removes. Each maps an image and its mask to a generated image,
// which is then mixed in without masking again: x (1-m) + generated m (masked out), x m + generated (1-m) (masked in).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "layers/losses.h"
#include "layers/module.h"
#include "tensor/ops.h"

namespace pen {

struct Checkpoint;  // models/checkpoint.h

struct InfillerInput {
  Tensor image;                   // x (N,H,W,3), normalised with ImageColors
  Tensor mask;                    // m (N,H,W,1) in [0,1], 1 = selected
  MaskSide side = MaskSide::out;  // which pixels are left: m (in) or 1 - m (out)
  Tensor known() const;           // (N,H,W,1): how much of each pixel is left
  Tensor hole() const;            // 1 - known
  Tensor masked_image() const;    // x known
};

class Infiller : public Module {
 public:
  // (N,H,W,3), normalised like the image. `draws` gives random infillers their numbers (its position is their whole
  // state); without it they repeat one draw.
  Tensor generate(const InfillerInput& input, Rng* draws = nullptr) { return hooked(run(input, draws)); }
  // Whether its parameters can be trained by the hole and valid loss.
  virtual bool can_learn() const { return false; }
  // Called when the state has been read from a file; an Error of kind checkpoint if the values make no sense.
  virtual void check_loaded(const std::string& source) { static_cast<void>(source); }

 protected:
  virtual Tensor run(const InfillerInput& input, Rng* draws) = 0;
};

// generated where the mask has removed pixels, the image elsewhere: generated + known (image - generated). The mask may
// be coarser than the image (ops::mask_in).
Tensor infilled(const InfillerInput& input, const Tensor& generated);

// The loss of a trained infiller (Liu et al., "Image inpainting for irregular holes using partial convolutions", ECCV
// 2018, eq. 1 and 7, without its perceptual terms): L1 of hole and valid pixels, holes weighing 6 times as much.
struct InfillerLoss {
  Tensor total;        // scalar: valid + 6 hole
  Tensor hole, valid;  // scalars: mean |weight (generated - image)| over all pixels and channels
};
InfillerLoss infiller_loss(const InfillerInput& input, const Tensor& generated);

// What --infiller_model can name, and what the networks among them need.
struct InfillerKind {
  const char* name;
  const char* what;      // a line for the help
  bool network;          // has weights
  bool needs_file;       // cannot be used without (cnn is used untrained by the reference)
  const char* variable;  // environment variable that names the file when no path is given; null: none
};
const std::vector<InfillerKind>& infiller_kinds();
std::vector<std::string> infiller_names();
const InfillerKind& infiller_kind(const std::string& name);  // unknown: a usage error that lists the names

struct InfillerOptions {
  std::string model = {};
  // The file: given, or that of the environment variable (see infiller_file).
  std::string path = {};
  // Which quirks of the reference's wrappers are kept (see docs/parity.md): paper = all.
  bool strict = false;
  std::uint64_t seed = 0;  // initial weights where there is no file, and noise
  bool to_train = false;   // weights need not come from a file
};
// The path, or that of the kind's environment variable, or "".
std::string infiller_file(const std::string& model, const std::string& path);
// In evaluation mode, frozen, on the CPU. A missing or unfit file: an Error of kind usage or checkpoint.
std::unique_ptr<Infiller> make_infiller(const InfillerOptions& options);
// The same with its state taken from a checkpoint's part `state_dict_infiller`, or from a plain weight file.
void load_infiller(Infiller& infiller, const Checkpoint& from);

// Colours of the images that networks see: (x - mean) / std of values in [0, 1] (ImageNet's statistics).
struct ImageColors {
  std::array<double, 3> mean{0.485, 0.456, 0.406}, std{0.229, 0.224, 0.225};
};
Tensor to_unit_range(const Tensor& image);    // x std + mean
Tensor from_unit_range(const Tensor& image);  // (x - mean) / std
// scale x + shift for each channel of (N,H,W,C).
Tensor channel_affine(const Tensor& x, const std::vector<double>& scale, const std::vector<double>& shift);

}  // namespace pen
