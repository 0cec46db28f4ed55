#include "eval/sanity/mprt.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"

namespace pen::eval::sanity {
namespace {

// Puts the network back on every way out.
struct Whole {
  Randomiser& randomiser;
  ~Whole() { randomiser.restore_quietly(); }
};

}  // namespace

std::vector<ReferenceMap> references_of(std::span<const float> maps, std::int64_t n, std::int64_t size,
                                        Protocol protocol) {
  const auto pixels = static_cast<std::size_t>(size * size), count = static_cast<std::size_t>(n);
  PEN_CHECK(maps.size() == count * pixels, "sanity check: ", maps.size(), " values for ", n, " maps of side ", size);
  std::vector<std::optional<ReferenceMap>> made(count);
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      made[i].emplace(maps.subspan(i * pixels, pixels), size, protocol);
  });
  std::vector<ReferenceMap> out;
  out.reserve(count);
  for (std::optional<ReferenceMap>& reference : made) out.push_back(std::move(*reference));
  return out;
}

std::vector<MapScores> compare(const std::vector<ReferenceMap>& references, std::span<const float> maps) {
  const std::size_t count = references.size(), pixels = count ? maps.size() / count : 0;
  std::vector<MapScores> out(count);
  parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      out[i] = references[i].compare(maps.subspan(i * pixels, pixels));
  });
  return out;
}

Mprt::Mprt(Subject subject, const MprtSettings& settings)
    : subject_(std::move(subject)),
      settings_(settings),
      layers_(randomised_layers(*subject_.network, settings.depth)),
      randomiser_(*subject_.network, settings.protocol, settings.seed) {
  PEN_CHECK(!layers_.empty(), "sanity check: the classifier has no layer with parameters");
  PEN_CHECK(settings.cascading || settings.independent, "sanity check: neither cascading nor independent");
  for (const auto& [wanted, kind] :
       {std::pair{settings.cascading, cascading_name}, std::pair{settings.independent, independent_name}}) {
    if (!wanted) continue;
    headings_.push_back({kind, normal_name, {}});
    for (const std::string& layer : layers_) headings_.push_back({kind, layer, {}});
  }
}

std::int64_t Mprt::maps_of(std::int64_t n) const {
  // The kinds share "normal"; one more pass makes the originals.
  const std::int64_t kinds = settings_.cascading && settings_.independent ? 2 : 1;
  return n * (kinds * static_cast<std::int64_t>(layers_.size()) + 2);
}

bool Mprt::add(const Batch& whole, const std::function<bool(std::int64_t)>& done, const Visit& visit) {
  Batch batch = whole;
  std::vector<std::int64_t> targets;
  if (subject_.targets) {
    targets = subject_.targets(batch);
    batch.labels = targets;
  }
  const auto report = [&] { return !done || done(batch.n); };
  const std::vector<ReferenceMap> originals =
      references_of(subject_.maps(batch, MapForm::compared), batch.n, batch.size, settings_.protocol);
  if (!report()) return false;

  std::vector<std::vector<MapScores>> found(headings_.size());
  const auto look = [&](std::size_t i, MapForm form) {
    if (visit) visit(i, batch);
    found[i] = compare(originals, subject_.maps(batch, form));
    return report();
  };
  {
    const Whole whole_again{randomiser_};
    for (std::size_t i = 0; i < headings_.size(); ++i) {
      const auto& [kind, layer, images] = headings_[i];
      if (layer == normal_name) {
        randomiser_.restore();
        continue;
      }
      const bool alone = kind == independent_name;
      randomiser_.randomise(layer);
      // The reference holds masks after their sigmoid against logits here.
      const bool after_sigmoid = alone && settings_.protocol == Protocol::paper;
      if (!look(i, after_sigmoid ? MapForm::used : MapForm::compared)) return false;
      if (alone) randomiser_.restore(layer);
    }
  }
  for (std::size_t i = 0, first = headings_.size(); i < headings_.size(); ++i) {
    if (headings_[i].layer != normal_name) continue;
    if (first == headings_.size()) {
      first = i;
      if (!look(i, MapForm::compared)) return false;
    } else {
      if (visit) visit(i, batch);
      found[i] = found[first];
    }
  }
  for (std::size_t i = 0; i < headings_.size(); ++i) {
    std::vector<MapScores>& all = headings_[i].images;
    all.insert(all.end(), found[i].begin(), found[i].end());
  }
  return true;
}

}  // namespace pen::eval::sanity
