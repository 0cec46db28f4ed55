// The images that maps are judged on, and what is true of them: boxes, pixel masks or both.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/sample_source.h"
#include "data/transforms.h"
#include "eval/batch.h"
#include "eval/judge_options.h"
#include "eval/true_masks.h"
#include "eval/wsol/metadata.h"
#include "kernels/types.h"

namespace pen::eval::wsol {

// Pixels that are annotated as object and as ignored at once. In both protocols the object wins, which is
// wsolevaluation's rule; an annotation that contradicts itself is counted and told.
struct Contested {
  std::int64_t images = 0, pixels = 0;
  std::string first;  // the first such image

  void add(const std::string& id, std::int64_t count);
  std::string warning() const;  // one sentence; empty where there are none
};

// Images with their ids, labels and truths, all in the frame (S, S) of the maps: a data set in wsolevaluation's layout
// (OpenImages with masks; CUB, ILSVRC with boxes; images at <dataset_path>/<dataset>/<id>), or the images of val_json
// with boxes, masks or both. ILSVRC's test split is ImageNet's validation set: imagenet_val_path lists those images,
// and the id of one is val/<file name>.
class Dataset : public SampleSource {
 public:
  // Reads all lists. Data errors name file and image; see read_metadata(), BoxTable, Metadata.
  explicit Dataset(const JudgedImages& options);
  // The side S of input and maps; 224 before the first call.
  void set_size(std::int64_t size);

  std::int64_t size() const override { return static_cast<std::int64_t>(entries_.size()); }
  std::string path(std::int64_t i) const override { return at(i).path; }
  std::int64_t label(std::int64_t i) const override { return at(i).label; }
  // What maps and results are filed under: wsolevaluation's id, or <folder>/<file> of an image of val_json.
  const std::string& id(std::int64_t i) const { return at(i).id; }

  bool has_boxes() const { return has_boxes_; }
  bool has_masks() const { return has_masks_; }
  // Whether labels are the images' classes to whoever explains them. In wsolevaluation's layout the reference passes a
  // dummy class 0; the labels of imagenet_val_path and val_json are real to it.
  bool labels_are_dummies() const { return dummies_; }
  std::int64_t class_count() const { return classes_; }  // one more than the largest label, or as val_json says
  // Inclusive corners, at least one box. Boxes of val_json are clipped to the frame; an image whose boxes all lie
  // outside of it has one that meets no other (every map misses it).
  const std::vector<Box>& boxes(std::int64_t i) const { return at(i).boxes; }
  // The same as `score` has them: exclusive ends, and those of val_json as annotated, not clipped.
  std::vector<Box> score_boxes(std::int64_t i) const;
  const JudgedImages& options() const { return options_; }
  // out (S, S): 1 object, 0 background, 255 ignored. The object is where any of its masks is, resized by nearest
  // neighbour as OpenCV does (wsolevaluation) or as TrueMasks does; it wins over the ignored region where both are.
  // Returns the number of pixels where both are.
  std::int64_t load_mask(std::int64_t i, std::span<std::uint8_t> out) const;
  Transform transform() const;
  // A data error that names the first image whose file is not there. Not needed where maps come from files.
  void check_files() const;

 private:
  struct Entry {
    std::string id, path;
    std::int64_t label = 0;
    std::int64_t width = 0, height = 0;  // of the image; 0 for those of val_json
    std::vector<Box> annotated, boxes;   // as annotated, and in the frame of the maps
    std::vector<std::string> masks;
    std::string ignore;
  };
  const Entry& at(std::int64_t i) const;
  std::vector<std::int64_t> chosen_images(std::int64_t all) const;
  void open_listed();
  void open_json();

  JudgedImages options_;
  std::int64_t side_ = 224;
  bool has_boxes_ = false, has_masks_ = false, dummies_ = false;
  std::int64_t classes_ = 0;
  std::vector<Entry> entries_;
  std::optional<TrueMasks> true_masks_;
};

// Calls body(batch, number of its first image) for batches in the data set's order, with progress called `what`.
// Without `images` a batch has n and nothing else. false: interrupted by Ctrl-C.
// A last batch that is smaller than the others starts without the memory that tensors keep for reuse, because buffers
// of its sizes would come on top of theirs.
bool each_batch(const Dataset& dataset, bool images, const std::string& what, Device device,
                const std::function<void(const Batch& batch, std::int64_t first)>& body);

}  // namespace pen::eval::wsol
