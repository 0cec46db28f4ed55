#include <algorithm>
#include <string>

#include "eval/results_table.h"
#include "tests/fuzz/fuzz.h"

// What `score` has written, for the table of results: totals and, behind a line of #, details.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return fuzz::run(ErrorKind::data, data, size, [&](auto) {
    const std::size_t end = std::min(text.find("#\n"), text.size());
    const auto row = eval::results_row(text.substr(0, end), text.substr(std::min(end + 2, text.size())), "scores.json");
    fuzz::must(row.size() == 8, "a cell for each column");
    for (const std::string& cell : row) fuzz::must(!cell.empty() || row[6].empty(), "no empty cells but a protocol's");
  });
}
