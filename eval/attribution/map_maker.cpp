#include "eval/attribution/map_maker.h"

#include "base/check.h"

namespace pen::eval {

OpenedClassifier open_explained(const MapMakerOptions& options, Device device) {
  const ClassifierSource source = parse_classifier_load_mode(options.classifier_load_mode);
  std::string file = source.file;
  if (source.kind == ClassifierSource::Kind::original) file = options.resnet_path;
  if (source.kind == ClassifierSource::Kind::checkpoint)
    file = options.casm_path.empty() ? options.resnet_path : options.casm_path;
  PEN_CHECK_AS(usage, !file.empty(), options.method,
               " needs the classifier that it explains: --resnet_path, or --casm_path for a checkpoint's own");
  OpenedClassifier opened = open_classifier(file, device, options.arch, options.fuse);
  opened.network->eval();
  return opened;
}

MapMaker::MapMaker(const MapMakerOptions& o, Device device, const OpenedClassifier* explained)
    : method_(o.method), target_(o.target) {
  if (method_ == "casme") {
    PEN_CHECK_AS(usage, !o.casm_path.empty(), "casme needs --casm_path, the masker's checkpoint");
    masker_ = std::make_unique<MaskMaker>(o.casm_path, parse_classifier_load_mode(o.classifier_load_mode),
                                          o.resnet_path, o.use_p, device, o.arch, o.fuse);
    size_ = o.input_size ? o.input_size : masker_->input_size();
    const std::int64_t classes = masker_->masker_classes();
    PEN_CHECK_AS(usage, !masker_->uses_class_ids() || target_.kind != TargetRule::Kind::fixed || target_.id < classes,
                 "class ", target_.id, " cannot be explained: the masker knows classes 0 to ", classes - 1);
    return;
  }
  const Method& method = attribution_method(method_);
  method_ = method.name;
  classifier_ = explained ? *explained : open_explained(o, device);
  size_ = o.input_size ? o.input_size : classifier_.input_size;
  attributor_ =
      std::make_unique<Attributor>(method, o.attribution, target_, classifier_.network, size_, classifier_.runner);
}

void MapMaker::on_progress(std::function<void(std::int64_t)> f) {
  if (attributor_)
    attributor_->on_progress(std::move(f));
  else
    progress_ = std::move(f);
}

std::int64_t MapMaker::target_of_image(std::int64_t label, std::int64_t predicted) const {
  if (masker_ ? !masker_->uses_class_ids() : !attributor_->method().by_class) return -1;
  if (target_.kind == TargetRule::Kind::label) return label;
  return target_.kind == TargetRule::Kind::fixed ? target_.id : predicted;
}

Maps MapMaker::operator()(const Batch& batch) {
  if (attributor_) return (*attributor_)(batch);
  std::vector<std::int64_t> told;
  if (target_.kind == TargetRule::Kind::label) told.assign(batch.labels.begin(), batch.labels.end());
  if (target_.kind == TargetRule::Kind::fixed) told.assign(static_cast<std::size_t>(batch.n), target_.id);
  Maps maps = (*masker_)(batch.images, batch.n, batch.size, told);
  if (progress_) progress_(batch.n);
  return maps;
}

}  // namespace pen::eval
