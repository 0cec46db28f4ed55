#include "eval/sanity/subject.h"

#include <utility>

namespace pen::eval::sanity {

Subject masker_subject(std::shared_ptr<const MaskMaker> masker) {
  Subject subject;
  subject.name = "casme";
  subject.network = masker->classifier().network;
  subject.is_mask = true;
  subject.maps = [masker = std::move(masker)](const Batch& batch, MapForm form) {
    return (*masker)(batch.images, batch.n, batch.size, batch.labels, form == MapForm::compared).maps;
  };
  return subject;
}

}  // namespace pen::eval::sanity
