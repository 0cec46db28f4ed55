#include "base/nearest.h"

#include <algorithm>

#include "base/check.h"

namespace pen {
namespace {

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the table are enough: a swap looks two rows back.
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t longest = 64;  // a file's content given as an option's name is nobody's typing mistake
  const std::string wanted = folded(word.substr(0, longest));
  if (wanted.empty()) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, wanted.size() / 3) + 1;
  // A one-letter word is two edits from every word of up to two letters; that is no likeness.
  best_distance = std::min(best_distance, wanted.size());
  const std::string* abbreviated = nullptr;
  const std::string* begun_with = nullptr;  // output, of output_path
  bool ambiguous = false;
  for (const std::string& candidate : known) {
    const std::string other = folded(candidate);
    const std::size_t distance = edit_distance(wanted, other);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
    if (wanted.size() >= 2 && other.starts_with(wanted)) {
      ambiguous = abbreviated != nullptr;
      abbreviated = abbreviated ? abbreviated : &candidate;
    }
    if (!begun_with && wanted.starts_with(other + "_")) begun_with = &candidate;
  }
  // An unambiguous abbreviation says more than a small distance to some other word.
  if (abbreviated && !ambiguous && best_distance > 1) return *abbreviated;
  return best.empty() && begun_with ? *begun_with : best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known, const std::string& prefix) {
  const std::string found = nearest(word, known);
  return found.empty() ? std::string{} : str("did you mean ", prefix, found, "?");
}

}  // namespace pen
