#include "kernels/plan_store.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/log.h"

namespace pen::kernels {
namespace {

namespace fs = std::filesystem;
constexpr const char* format = "penumbra plan 1";
constexpr std::uint64_t most_bytes = std::uint64_t{64} << 20;

std::uint64_t hash(std::string_view text, std::uint64_t start) {  // FNV-1a
  for (const char c : text) start = (start ^ static_cast<std::uint8_t>(c)) * 1099511628211ull;
  return start;
}
constexpr std::uint64_t first_start = 14695981039346656037ull, second_start = 0x9e3779b97f4a7c15ull;

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// One line of the file must be one line.
std::string line_of(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string heading(const PlanIdentity& identity) {
  return str(format, "\ngraph ", line_of(identity.graph), "\nlibrary ", line_of(identity.library), "\ngpu ",
             line_of(identity.gpu), '\n');
}

// Cuts the next line off `rest`; false at the end.
bool next_line(std::string_view& rest, std::string_view& line) {
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

// The file's text without the checksum in its last line, or what is wrong with it.
std::string_view checked(std::string_view text, std::string& fault) {
  constexpr std::string_view word = "checksum ";
  const std::size_t length = word.size() + 17;  // 16 digits and the end of the line
  const std::string_view body = text.size() > length ? text.substr(0, text.size() - length) : std::string_view{};
  const std::string want = str(word, hex(hash(body, first_start)), '\n');
  if (text.substr(body.size()) != want) fault = "it is damaged";
  return body;
}

std::optional<StoredPlan> parse(std::string_view text, const PlanIdentity& identity, std::string& fault) {
  std::string_view rest = checked(text, fault), line;
  if (!fault.empty()) return {};
  if (!rest.starts_with(str(format, '\n'))) {
    fault = "it has another format";
    return {};
  }
  const std::string head = heading(identity);
  if (!rest.starts_with(head)) {
    fault = "it is for another graph, library or GPU";
    return {};
  }
  rest.remove_prefix(head.size());
  StoredPlan plan;
  if (!next_line(rest, line) || !line.starts_with("variant ")) fault = "its variant is missing";
  plan.variant = fault.empty() ? line.substr(8) : "";
  if (fault.empty() && (!next_line(rest, line) || !line.starts_with("milliseconds "))) fault = "its time is missing";
  if (!fault.empty()) return {};
  plan.milliseconds = std::strtod(std::string(line.substr(13)).c_str(), nullptr);
  plan.text = rest;
  return plan;
}

}  // namespace

PlanStore::PlanStore(std::string folder, std::size_t most) : folder_(std::move(folder)), most_(most) {}

std::string PlanStore::path_of(const PlanIdentity& identity) const {
  const std::string head = heading(identity);
  return folder_ + "/" + hex(hash(head, first_start)) + hex(hash(head, second_start)) + ".plan";
}

std::optional<StoredPlan> PlanStore::load(const PlanIdentity& identity) const noexcept {
  try {
    if (folder_.empty()) return {};
    const std::string path = path_of(identity);
    std::error_code error;
    if (!fs::exists(path, error)) return {};
    const std::vector<std::uint8_t> bytes = read_file(path, most_bytes);
    std::string fault;
    auto plan = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, identity, fault);
    if (!plan) {
      log::warn(str("'", path, "' is not used: ", fault, "; the plan is made anew"));
      return {};
    }
    fs::last_write_time(path, fs::file_time_type::clock::now(), error);  // used now; a read-only folder is no harm
    return plan;
  } catch (const std::exception& e) {
    log::warn(str("a plan's file could not be read: ", e.what()));
    return {};
  }
}

void PlanStore::save(const PlanIdentity& identity, const StoredPlan& plan) noexcept {
  if (folder_.empty()) return;
  try {
    make_folders(folder_);
    char time[32];
    std::snprintf(time, sizeof time, "%.6f", plan.milliseconds);
    std::string text =
        str(heading(identity), "variant ", line_of(plan.variant), "\nmilliseconds ", time, '\n', plan.text);
    text += str("checksum ", hex(hash(text, first_start)), '\n');
    write_file(path_of(identity), text);
    drop_oldest();
  } catch (const std::exception& e) {
    if (!warned_) log::warn(str("plans are not kept: ", e.what(), "; PENUMBRA_CACHE names another folder"));
    warned_ = true;
  }
}

void PlanStore::drop_oldest() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error))
    if (entry.path().extension() == ".plan") files.emplace_back(entry.last_write_time(error), entry.path());
  if (files.size() <= most_) return;
  std::sort(files.begin(), files.end());
  for (std::size_t i = 0; i < files.size() - most_; ++i) fs::remove(files[i].second, error);
}

std::string default_plan_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (std::getenv("PENUMBRA_CACHE")) {
    const std::string chosen = variable("PENUMBRA_CACHE");
    return chosen.empty() ? "" : chosen + "/plans";
  }
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/penumbra/plans";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/penumbra/plans";
  return "";
}

}  // namespace pen::kernels
