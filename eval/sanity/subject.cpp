#include "eval/sanity/subject.h"

#include <utility>

#include "base/check.h"
#include "eval/attribution/attributor.h"
#include "tensor/ops.h"

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

Subject attribution_subject(const Method& method, const AttributionOptions& options, const TargetRule& target,
                            std::shared_ptr<pen::Classifier> network, std::int64_t size) {
  Subject subject;
  subject.name = method.name;
  subject.network = network;
  PEN_CHECK_AS(usage, target.kind != TargetRule::Kind::fixed || target.id < network->classes(), "class ", target.id,
               " cannot be explained: the classifier has classes 0 to ", network->classes() - 1);
  if (target.kind == TargetRule::Kind::fixed)
    subject.targets = [id = target.id](const Batch& batch) {
      return std::vector<std::int64_t>(static_cast<std::size_t>(batch.n), id);
    };
  if (target.kind == TargetRule::Kind::top1)
    subject.targets = [network](const Batch& batch) {
      const std::vector<float> logits = logits_of(*network, batch.images, batch.n, batch.size);
      return ops::argmax(Tensor::from(logits, {batch.n, network->classes()}));
    };
  const auto attributor =
      std::make_shared<Attributor>(method, options, TargetRule{TargetRule::Kind::label, 0}, network, size);
  subject.maps = [attributor](const Batch& batch, MapForm) { return (*attributor)(batch).maps; };
  return subject;
}

}  // namespace pen::eval::sanity
