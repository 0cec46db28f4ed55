// Images and the ids that their maps are filed under.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/metadata.h"
#include "data/sample_source.h"

namespace pen::eval {

// Images with ids: paths relative to a data set's folder, as wsolevaluation has them ("val/n01440764/x.JPEG").
class ImageList : public SampleSource {
 public:
  // Of a metadata file: ids are relative to `root`, or (empty) to the file's own root. Labels are those of the file.
  static ImageList of_metadata(const Metadata& metadata, const std::string& root);
  // Of words on the command line (see listed_images): ids are relative to `root`, or (empty) to the folder that was
  // named, and the file's name where a file was named. Labels are 0 and mean nothing.
  static ImageList of_words(const std::vector<std::string>& words, const std::string& root);

  std::int64_t size() const override { return static_cast<std::int64_t>(paths_.size()); }
  std::string path(std::int64_t i) const override { return paths_.at(static_cast<std::size_t>(i)); }
  std::int64_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  const std::string& id(std::int64_t i) const { return ids_.at(static_cast<std::size_t>(i)); }
  void keep_first(std::int64_t count);

 private:
  // Data errors: two images of one id, an id that would lie outside of the folder of results.
  void add(const std::string& path, const std::string& folder, std::int64_t label);
  void check_ids() const;
  std::vector<std::string> paths_, ids_;
  std::vector<std::int64_t> labels_;
};

}  // namespace pen::eval
