// "Did you mean": the known word that a mistyped one was most likely meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pen {

// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours that turn a into b.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The word of `known` that is nearest to `word`: within a third of its length (at least 2) edits, or the one that
// `word` abbreviates, or else the one with which `word` begins (`output` for `output_path`). Empty if none is near.
// Dashes and underscores count as the same; ties: the first.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

// "did you mean 'x'?" with `prefix` before the word, or empty when nothing is near: ready to be an Error's hint.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known, const std::string& prefix = {});

}  // namespace pen
