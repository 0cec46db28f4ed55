// The direction of includes: base -> kernels -> tensor -> layers -> models -> {train, eval} -> cli, and data on base
// and tensor only. Tests, benchmarks and fuzz targets may include anything; nothing includes them.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/paths.h"

namespace fs = std::filesystem;

namespace {

using Folders = std::set<std::string>;

// What the sources of a folder may include, besides themselves.
const std::map<std::string, Folders> picture = {
    {"base", {}},
    {"kernels", {"base"}},
    {"tensor", {"base", "kernels"}},
    {"layers", {"base", "kernels", "tensor"}},
    {"models", {"base", "kernels", "tensor", "layers"}},
    {"data", {"base", "tensor"}},
    {"train", {"base", "kernels", "tensor", "layers", "models", "data"}},
    {"eval", {"base", "kernels", "tensor", "layers", "models", "data"}},
    {"cli", {"base", "kernels", "tensor", "layers", "models", "data", "train", "eval"}},
};
const Folders free_folders = {"tests", "bench"};
const Folders not_sources = {"build", "cmake", "configs", "docs", "scripts", "runs"};

fs::path root() { return fs::path(pen::test::tests_folder()).parent_path(); }

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE_MESSAGE(file.good(), "cannot read " << path);
  return text.str();
}

bool is_source(const fs::path& path) {
  static const Folders endings = {".h", ".cpp", ".cu", ".cuh", ".inl", ".def"};
  return endings.count(path.extension().string()) > 0;
}

// What is wrong with the includes of one source: one line each. Edges that are right are added to `edges`.
std::vector<std::string> faults_of(const std::string& folder, const std::string& text, Folders& edges) {
  static const std::regex include(R"re(^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">])re", std::regex::multiline);
  std::vector<std::string> faults;
  for (std::sregex_iterator i(text.begin(), text.end(), include), end; i != end; ++i) {
    const std::string name = (*i)[2], target = name.substr(0, name.find('/'));
    const bool ours = picture.count(target) > 0 || free_folders.count(target) > 0;
    if ((*i)[1] == "<") {
      if (ours && name != target) faults.push_back("<" + name + "> is ours: write it with quotes");
      continue;
    }
    if (!fs::exists(root() / name)) {
      faults.push_back("\"" + name + "\" is not a file from the root of the sources");
    } else if (target == folder) {
      continue;
    } else if (picture.at(folder).count(target) == 0) {
      faults.push_back(folder + "/ must not include \"" + name + "\"");
    } else {
      edges.insert(target);
    }
  }
  return faults;
}

// The libraries that CMake lets a folder see: the words behind DEPENDS.
std::map<std::string, Folders> cmake_edges(const std::string& text) {
  static const std::regex library(R"(penumbra_library\(\s*(\w+)([^)]*)\))"), word(R"(\S+)");
  static const Folders keywords = {"LINK", "SOURCES"};
  std::map<std::string, Folders> edges;
  for (std::sregex_iterator i(text.begin(), text.end(), library), end; i != end; ++i) {
    const std::string arguments = (*i)[2];
    Folders& to = edges[(*i)[1]];
    bool depends = false;
    for (std::sregex_iterator w(arguments.begin(), arguments.end(), word); w != end; ++w) {
      if (w->str() == "DEPENDS" || keywords.count(w->str())) {
        depends = w->str() == "DEPENDS";
      } else if (depends) {
        to.insert(w->str());
      }
    }
  }
  return edges;
}

}  // namespace

TEST_CASE("layering: the check finds a wrong edge") {
  Folders edges;
  CHECK(faults_of("tensor", "#include \"kernels/kernels.h\"\n#include <vector>\n", edges).empty());
  CHECK(edges == Folders{"kernels"});
  CHECK(faults_of("kernels", "#include \"tensor/tensor.h\"\n", edges).size() == 1);
  CHECK(faults_of("data", "  #  include \"kernels/kernels.h\"\n", edges).size() == 1);
  CHECK(faults_of("cli", "#include \"tests/skip.h\"\n", edges).size() == 1);
  CHECK(faults_of("base", "#include \"check.h\"\n", edges).size() == 1);
  CHECK(faults_of("base", "#include <base/check.h>\n", edges).size() == 1);
  CHECK(cmake_edges("penumbra_library(a SOURCES ${x} DEPENDS b c\n LINK d)").at("a") == Folders{"b", "c"});
}

TEST_CASE("layering: includes follow the picture, and CMake declares each edge and no other direction") {
  std::map<std::string, Folders> cmake = cmake_edges(read(root() / "CMakeLists.txt"));
  cmake.merge(cmake_edges(read(root() / "cmake" / "kernels.cmake")));
  for (const auto& [folder, allowed] : picture) {
    INFO(folder);
    REQUIRE_MESSAGE(cmake.count(folder) == 1, "no penumbra_library(" << folder << ")");
    for (const std::string& to : cmake.at(folder))
      CHECK_MESSAGE(allowed.count(to) == 1, "CMake: " << folder << " must not depend on " << to);
    int sources = 0;
    Folders edges;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root() / folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++sources;
      for (const std::string& fault : faults_of(folder, read(entry.path()), edges))
        FAIL_CHECK(fs::relative(entry.path(), root()).string() << ": " << fault);
    }
    CHECK_MESSAGE(sources > 0, folder << "/ has no sources");
    for (const std::string& to : edges)
      CHECK_MESSAGE(cmake.at(folder).count(to) == 1, "CMake: " << folder << " includes " << to << " without DEPENDS");
  }
}

TEST_CASE("layering: every folder with sources is in the picture") {
  for (const fs::directory_entry& entry : fs::directory_iterator(root())) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || name[0] == '.' || not_sources.count(name) || name.rfind("build", 0) == 0) continue;
    if (picture.count(name) || free_folders.count(name)) continue;
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(entry))
      CHECK_MESSAGE(!is_source(file.path()), file.path() << " lies outside the picture");
  }
}
