// `prepare`: the metadata and box files of a data set laid out as ImageNet is (<path>/<class>/<image>).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/metadata.h"

namespace pen {

struct PrepareOptions {
  std::string train_path;                // folder of class folders
  std::string val_path;                  // the same; its classes must be among the training ones
  std::string val_annotation_path;       // <key>.xml of every validation image; "": no val_bboxes.json
  std::string output_base_path;          // made if it is not there
  std::string extended_annot_base_path;  // <class>/<key>.xml of some training images; "": none
  std::int64_t num_per_class_in_train_val = 50;
  std::int64_t seed = 1234;       // 0 .. 2^32-1
  std::int64_t image_size = 224;  // side of the frame that boxes are given in
  bool break_ratio = false;       // boxes for Resize([S, S]) instead of Resize(S) and CenterCrop(S)
  bool overwrite = false;         // replace the files of an earlier prepare
};

struct PrepareResult {
  std::int64_t classes = 0, train = 0, train_train = 0, train_val = 0, val = 0;
  std::int64_t annotated = 0;      // training images with an annotation file
  std::vector<std::string> files;  // what was written, in this order
};

// Writes train.json (all training images, shuffled), train_train.json and train_val.json (its split),
// train_shuffle.json (its images with labels drawn at random), val.json, and, where annotations are given,
// train_val_bboxes.json and val_bboxes.json. The order and the split are those of the reference at the same seed
// (NumPy's legacy shuffle). Without extended annotations every image counts as annotated in the rule of the split, and
// no train_val_bboxes.json is written.
//
// Everything is read and checked before the first file is written. Errors of kind `data`: a folder that is missing or
// has no images, a class of val that train does not have, two images with one key, an annotation that is missing or
// wrong (AnnotationReader names the image). Of kind `usage`: an option out of range, or files of an earlier prepare in
// output_base_path without `overwrite`.
PrepareResult prepare(const PrepareOptions& options);

// The images below a folder of class folders: classes are the sorted folder names, and within a class the images come
// folder by folder, sorted by bytes. Names that end, in any case, with .jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp
// count. With `classes` the labels are positions in it, and a folder that is not in it is an error.
Metadata scan_images(const std::string& root, const std::vector<std::string>* classes = nullptr);

// The images of such names in a folder and the folders below it, in the same order. Data errors: a folder that cannot
// be listed, or one that leads back to a folder above it.
std::vector<std::string> images_below(const std::string& folder);

}  // namespace pen
