// Parameter randomisation as a run.
#include <algorithm>
#include <utility>

#include "base/interrupt.h"
#include "base/json.h"
#include "base/version.h"
#include "eval/attribution/map_maker.h"
#include "eval/options.h"
#include "eval/sanity/batches.h"
#include "eval/sanity/mprt.h"
#include "eval/sanity/run.h"
#include "eval/sanity/runs.h"

namespace pen::eval::sanity {
namespace {

struct Tested {
  Subject subject;
  std::string classifier;  // its file
  std::int64_t input_size = 0;
};

Tested tested(const SanityOptions& o, const Metadata& images, Device device) {
  const ClassifierSource source = parse_classifier_load_mode(o.classifier_load_mode);
  if (o.method == "casme") {
    auto masker = std::make_shared<const MaskMaker>(o.casm_path, source, o.resnet_path, o.use_p, device, std::string{},
                                                    false);  // its parameters change
    if (masker->uses_class_ids())
      check_labels(images, o.val_json, masker->masker_classes(), "the masker of '" + o.casm_path + "'");
    return {masker_subject(masker), masker->classifier().file, masker->input_size()};
  }
  MapMakerOptions whose;
  whose.method = o.method;
  whose.casm_path = o.casm_path;
  whose.classifier_load_mode = o.classifier_load_mode;
  whose.resnet_path = o.resnet_path;
  whose.fuse = false;
  const OpenedClassifier classifier = open_explained(whose, device);
  const TargetRule target = target_of(o, true);
  if (target.kind == TargetRule::Kind::label && attribution_method(o.method).by_class)
    check_labels(images, o.val_json, classifier.network->classes(), "the classifier of '" + classifier.file + "'");
  const std::int64_t size = o.input_size ? o.input_size : classifier.input_size;
  return {attribution_subject(attribution_method(o.method), attribution_options(o, o.seed), target, classifier.network,
                              size),
          classifier.file, classifier.input_size};
}

Facts facts_of(const SanityOptions& o, const Tested& tested, const Mprt& mprt, std::int64_t size,
               const std::string& device) {
  Facts facts;
  facts.add("method", o.method).add("val_json", o.val_json);
  if (o.method == "casme") facts.add("casm_path", o.casm_path);
  facts.add("classifier", tested.classifier).add("arch", mprt.subject().network->arch());
  if (o.use_p) facts.add("use_p", *o.use_p);
  if (o.method != "casme") facts.add("target", o.target.empty() ? "label" : o.target);
  if (!o.layer.empty()) facts.add("layer", o.layer);
  for (const auto& [name, number] :
       {std::pair{"samples", o.samples}, std::pair{"steps", o.steps}, std::pair{"cells", o.cells},
        std::pair{"window", o.window}, std::pair{"stride", o.stride}})
    if (number > 0) facts.add(name, number);
  for (const auto& [name, number] : {std::pair{"noise", o.noise}, std::pair{"keep", o.keep}})
    if (number > 0) facts.add(name, number);
  if (o.smooth >= 0) facts.add("smooth", o.smooth);
  facts.add("layer_depth", o.layer_depth).add("layers", mprt.layers()).add("randomise", o.randomise);
  facts.add("seed", o.seed).add("input_size", size).add("break_ratio", o.break_ratio);
  facts.add("batch_size", o.batch_size).add("device", device);
  return facts;
}

std::vector<std::string> notes_of(const SanityOptions& o, const Report& report) {
  std::vector<std::string> notes;
  notes.push_back(
      str(report.paths.size(),
          " images. The layers of the classifier are replaced by random ones, and the maps that "
          "come out are compared with those of the trained network: 1 is equal, 0 unrelated. A method that shows what "
          "the network has learned loses likeness when its layers are random."));
  notes.push_back(
      o.protocol == "paper"
          ? "Paper protocol: convolutions are drawn with standard deviation sqrt(2 / (K C S)), far below their "
            "initial one, and running statistics are kept, so that the signal dies away; SSIM takes a data range of 2; "
            "the independent test compares masks with logits."
          : "Strict protocol: each layer starts anew as the network itself was started, norms with their statistics "
            "reset; both sides are compared in the same form; SSIM takes its data range from the original map; images "
            "without a figure are left out of its mean and counted.");
  if (o.method == "casme")
    notes.push_back("Masks are compared before their sigmoid, and drawn as they are used.");
  else
    notes.push_back(
        "Maps are compared as the method makes them, and drawn from their smallest to their largest value.");
  return notes;
}

}  // namespace

SanityRun run_mprt(const SanityOptions& o, Device device, const std::string& device_in_words) {
  const Metadata images = tested_images(o);
  Tested subject = tested(o, images, device);
  const std::int64_t size = o.input_size ? o.input_size : subject.input_size;
  const Protocol protocol = parse_protocol(o.protocol);
  Mprt mprt(subject.subject, {protocol, static_cast<int>(o.layer_depth), o.randomise != "independent",
                              o.randomise != "cascading", static_cast<std::uint64_t>(o.seed)});
  log::info(str("sanity mprt ", o.method, ": ", images.size(), " images at ", size, "x", size, ", ",
                mprt.layers().size(), " layers of ", mprt.subject().network->arch(), ", ", o.randomise, ", ",
                o.protocol, " protocol, on ", device_in_words));

  SanityRun run;
  Report& report = run.report;
  Plotted plotted;
  const auto draw = [&](std::size_t i, const Batch& batch) {
    if (plotted.paths.empty()) plotted = plotted_images(o, batch);
    const Batch few{static_cast<std::int64_t>(plotted.paths.size()), size, plotted.images, plotted.targets,
                    plotted.paths};
    const Heading& heading = mprt.headings()[i];
    report.pictures.push_back({i, picture(plotted, mprt.subject().maps(few, MapForm::used), mprt.subject().is_mask,
                                          heading.kind + ": " + heading.layer)});
  };
  const bool finished =
      for_each_batch(images, o, size, mprt.maps_of(images.size()), [&](const Batch& batch, log::Progress& progress) {
        const bool first = report.paths.empty();
        if (first && o.do_plot) plotted_images(o, batch);  // a wrong place shows before the work
        report.paths.insert(report.paths.end(), batch.paths.begin(), batch.paths.end());
        const auto done = [&](std::int64_t n) {
          progress.advance(n);
          return !interrupt::requested();
        };
        return mprt.add(batch, done, first && o.do_plot ? Mprt::Visit(draw) : Mprt::Visit{});
      });
  if (!finished) {
    run.interrupted = true;
    return run;
  }
  std::stable_sort(report.pictures.begin(), report.pictures.end(),
                   [](const HeadingPicture& a, const HeadingPicture& b) { return a.heading < b.heading; });
  report.title = "Sanity check: parameter randomisation of " + o.method;
  // numpy.mean in the reference's test of parameters
  report.nan_counts = protocol == Protocol::paper;
  report.headings = mprt.headings();
  report.notes = notes_of(o, report);
  report.facts = facts_of(o, subject, mprt, size, device_in_words).list();
  return run;
}

}  // namespace pen::eval::sanity
