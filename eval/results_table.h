// Scores of several runs side by side.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/table.h"

namespace pen::eval {

// One file's row of the table below but for its name, from the texts of scores.json and scores.details.json (empty
// where there is none). `file` stands in messages.
std::vector<std::string> results_row(std::string_view totals, std::string_view details, const std::string& file);

// The files of `score` among these files and folders: of a folder, sorted, every scores.json that has its
// scores.details.json beside it. Nothing found, or a path that is not there: a data error.
std::vector<std::string> score_files(const std::vector<std::string>& paths);

// A row for each file: its name, LE, OM, F1, SM, avg_mask, the mean IoU with true masks where it was measured (else
// "-"), each with its bootstrap interval in brackets where the details file has one; protocol and number of images.
// A file that is no result of `score`: a data error.
Table results_table(const std::vector<std::string>& files);

}  // namespace pen::eval
