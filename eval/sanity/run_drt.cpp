// Data randomisation as a run: masks of a masker that was trained on true labels against those of one that was trained
// on shuffled ones (Adebayo et al. 2018, section 5).
#include <algorithm>

#include "base/check.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/sanity/batches.h"
#include "eval/sanity/mprt.h"
#include "eval/sanity/runs.h"

namespace pen::eval::sanity {
namespace {

// Whether the run of a checkpoint trained its classifier too, as CA does; a file that does not say is taken for one
// that did not.
bool trained_classifier(const Checkpoint& from) {
  const std::string args = from.fact_or("args", "");
  if (args.empty()) return false;
  const rapidjson::Document json = parse_json(args, "args of '" + from.path + "'", ErrorKind::checkpoint);
  return json.IsObject() && json.HasMember("fixed_classifier") && json["fixed_classifier"].IsBool() &&
         !json["fixed_classifier"].GetBool();
}

bool same_weights(const pen::Classifier& a, const pen::Classifier& b) {
  const std::vector<NamedTensor> x = a.state(), y = b.state();
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i].tensor.dtype() == DType::i64) continue;  // counters of batches
    if (x[i].tensor.to_vector<float>() != y[i].tensor.to_vector<float>()) return false;
  }
  return true;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return names.size() > 8 ? str(names.size(), " classes") : "'" + text + "'";
}

struct Side {
  std::shared_ptr<const MaskMaker> masker;
  Subject subject;
};

Side opened(const std::string& path, const SanityOptions& o, const Metadata& images, Device device) {
  Side side;
  side.masker = std::make_shared<const MaskMaker>(path, ClassifierSource{}, "", o.use_p, device);
  if (side.masker->uses_class_ids())
    check_labels(images, o.val_json, side.masker->masker_classes(), "the masker of '" + path + "'");
  side.subject = masker_subject(side.masker);
  return side;
}

}  // namespace

bool check_same_classifier(const std::string& path1, const std::string& path2, bool other_weights) {
  const Checkpoint first = read_checkpoint(path1), second = read_checkpoint(path2);
  const auto a = load_classifier(first), b = load_classifier(second);
  const auto differ = [&](const auto& what, const auto& x, const auto& y) {
    fail(ErrorKind::checkpoint,
         str("the checkpoints have different classifiers: ", what, " ", x, " in '", path1, "', ", y, " in '", path2,
             "'"),
         "train both maskers with the same --resnet_path and options; only the labels may differ");
  };
  if (a->arch() != b->arch()) differ("architecture", a->arch(), b->arch());
  if (a->tap_widths() != b->tap_widths()) differ("width factor", width_factor(*a), width_factor(*b));
  if (a->classes() != b->classes()) differ("number of classes", a->classes(), b->classes());
  const auto names1 = class_names(first), names2 = class_names(second);
  if (!names1.empty() && !names2.empty() && names1 != names2) differ("classes", listed(names1), listed(names2));
  if (input_size(first) != input_size(second)) differ("input size", input_size(first), input_size(second));
  if (same_weights(*a, *b)) return true;
  if (!trained_classifier(first) && !trained_classifier(second) && !other_weights)
    fail(ErrorKind::checkpoint,
         str("the checkpoints have different classifiers: the weights in '", path1, "' and '", path2,
             "' differ, and neither says that its run trained the classifier"),
         "train both maskers with the same --resnet_path; --allow_other_weights compares them all the same");
  return false;
}

SanityRun run_drt(const SanityOptions& o, Device device, const std::string& device_in_words) {
  const Metadata images = tested_images(o);
  const bool same = check_same_classifier(o.casm_path1, o.casm_path2, o.allow_other_weights);
  const Side a = opened(o.casm_path1, o, images, device), b = opened(o.casm_path2, o, images, device);
  const std::int64_t size = o.input_size ? o.input_size : a.masker->input_size();
  const Protocol protocol = parse_protocol(o.protocol);
  log::info(str("sanity drt: ", images.size(), " images at ", size, "x", size, ", classifiers ",
                same ? "with equal weights" : "with weights of their own", ", ", o.protocol, " protocol, on ",
                device_in_words));

  SanityRun run;
  Report& report = run.report;
  report.headings = {{"drt", "shuffled", {}}};
  const bool finished = for_each_batch(images, o, size, 2 * images.size(), [&](const Batch& batch, auto& progress) {
    if (report.paths.empty() && o.do_plot) {
      const Plotted plotted = plotted_images(o, batch);
      const Batch few{static_cast<std::int64_t>(plotted.paths.size()), size, plotted.images, plotted.targets,
                      plotted.paths};
      report.pictures.push_back(
          {0, picture_of_two(plotted, a.subject.maps(few, MapForm::used), b.subject.maps(few, MapForm::used),
                             "true labels", "shuffled labels")});
    }
    const auto originals = references_of(a.subject.maps(batch, MapForm::compared), batch.n, batch.size, protocol);
    progress.advance(batch.n);
    if (interrupt::requested()) return false;
    const std::vector<MapScores> found = compare(originals, b.subject.maps(batch, MapForm::compared));
    progress.advance(batch.n);
    std::vector<MapScores>& all = report.headings[0].images;
    all.insert(all.end(), found.begin(), found.end());
    report.paths.insert(report.paths.end(), batch.paths.begin(), batch.paths.end());
    return true;
  });
  run.interrupted = !finished;
  report.title = "Sanity check: data randomisation";
  report.notes = {
      str(report.paths.size(),
          " images. Masks (before their sigmoid) of a masker trained on true labels against those "
          "of one trained on shuffled labels: 1 is equal, 0 unrelated. Masks that show the relation between images and "
          "labels lose likeness when there is none."),
      same ? "Both maskers look at the same classifier." : "Each masker has a classifier with weights of its own."};
  Facts facts;
  facts.add("casm_path1", o.casm_path1).add("casm_path2", o.casm_path2).add("val_json", o.val_json);
  if (o.use_p) facts.add("use_p", *o.use_p);
  facts.add("same_classifier_weights", same).add("input_size", size).add("break_ratio", o.break_ratio);
  facts.add("batch_size", o.batch_size).add("seed", o.seed).add("device", device_in_words);
  report.facts = facts.list();
  return run;
}

}  // namespace pen::eval::sanity
