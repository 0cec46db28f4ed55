// The list of deliberate bugs (tests/mutations.md) fits the tree: what a row changes is there once, its test exists.
#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/paths.h"
#include "tests/scratch.h"

using namespace pen::test;

namespace {

struct Row {
  std::string file, right, wrong, test;
};

// `text` of a cell, without the quotes.
std::string unquoted(const std::string& cell) {
  REQUIRE_MESSAGE((cell.size() >= 2 && cell.front() == '`' && cell.back() == '`'), cell);
  return cell.substr(1, cell.size() - 2);
}

std::vector<Row> rows() {
  std::vector<Row> out;
  std::istringstream lines(slurp(tests_folder() + "/mutations.md"));
  const std::string between = " | ";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ") || line.find("| `") == std::string::npos) continue;
    std::vector<std::string> cells;
    std::size_t at = 2;
    for (std::size_t next; (next = line.find(between, at)) != std::string::npos; at = next + between.size())
      cells.push_back(line.substr(at, next - at));
    cells.push_back(line.substr(at, line.rfind(" |") - at));
    REQUIRE_MESSAGE(cells.size() == 4, line);
    out.push_back({cells[0], unquoted(cells[1]), unquoted(cells[2]), cells[3]});
  }
  return out;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

}  // namespace

TEST_CASE("every deliberate bug still fits the source that it changes") {
  const std::vector<Row> all = rows();
  CHECK(all.size() >= 64);
  for (const Row& row : all) {
    CAPTURE(row.file);
    CAPTURE(row.right);
    const std::string source = tests_folder() + "/../" + row.file;
    REQUIRE(std::filesystem::exists(source));
    CHECK(count(slurp(source), row.right) == 1);
    CHECK(row.right != row.wrong);
    CHECK_MESSAGE(std::filesystem::exists(tests_folder() + "/" + row.test + ".cpp"), row.test);
  }
}
