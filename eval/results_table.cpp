#include "eval/results_table.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/score_report.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

constexpr const char* columns[] = {"LE", "OM", "F1", "SM", "avg_mask"};

double number_of(const rapidjson::Value& object, const char* name, const std::string& file) {
  PEN_CHECK_AS(data, object.IsObject() && object.HasMember(name) && object[name].IsNumber(), "'", file,
               "' has no number '", name, "': is it a result of score?");
  return object[name].GetDouble();
}

// "0.358", or "0.358 [0.350, 0.366]" where the object says low and high.
std::string cell(double value, const rapidjson::Value* interval, const std::string& file) {
  std::string text = fixed(value);
  if (interval && interval->IsObject() && interval->HasMember("low"))
    text += " [" + fixed(number_of(*interval, "low", file)) + ", " + fixed(number_of(*interval, "high", file)) + "]";
  return text;
}

const rapidjson::Value* member(const rapidjson::Value* object, const char* name) {
  return object && object->IsObject() && object->HasMember(name) ? &(*object)[name] : nullptr;
}

// The file's name without its ending; with its folder's where another file has the same.
std::vector<std::string> row_names(const std::vector<std::string>& files) {
  std::map<std::string, int> seen;
  for (const std::string& file : files) ++seen[fs::path(file).stem().string()];
  std::vector<std::string> out;
  for (const std::string& file : files) {
    const fs::path path(file);
    const std::string stem = path.stem().string();
    out.push_back(seen[stem] > 1 ? (path.parent_path().filename() / stem).string() : stem);
  }
  return out;
}

}  // namespace

std::vector<std::string> score_files(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    std::error_code error;
    PEN_CHECK_AS(data, fs::exists(path, error), "'", path, "' is not there");
    if (!fs::is_directory(path, error)) {
      out.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path, error)) {
      const std::string file = entry.path().string();
      if (entry.path().extension() == ".json" && fs::exists(details_path(file))) found.push_back(file);
    }
    PEN_CHECK_AS(data, !error, "cannot list the folder '", path, "': ", error.message());
    PEN_CHECK_AS(data, !found.empty(), "the folder '", path, "' has no results of score");
    std::sort(found.begin(), found.end());
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

std::vector<std::string> results_row(std::string_view totals_text, std::string_view details_text,
                                     const std::string& file) {
  const std::string path = details_path(file);
  const rapidjson::Document totals = parse_json(totals_text, file);
  std::optional<rapidjson::Document> details;
  if (!details_text.empty()) details = parse_json(details_text, path);
  const rapidjson::Value* more = details ? &*details : nullptr;
  std::vector<std::string> row;
  for (const char* name : columns)
    row.push_back(cell(number_of(totals, name, file), member(member(more, "intervals"), name), path));
  const rapidjson::Value* iou = member(more, "mask_iou");
  row.push_back(iou ? cell(number_of(*iou, "mean", path), iou, path) : "-");
  const rapidjson::Value* protocol = member(more, "protocol");
  row.push_back(protocol && protocol->IsString() ? protocol->GetString() : "-");
  const rapidjson::Value* images = member(more, "images");
  row.push_back(images && images->IsInt64() ? str(images->GetInt64()) : "-");
  return row;
}

Table results_table(const std::vector<std::string>& files) {
  std::vector<std::string> header{"name"};
  header.insert(header.end(), std::begin(columns), std::end(columns));
  header.insert(header.end(), {"mask IoU", "protocol", "images"});
  Table table(header);
  const std::vector<std::string> names = row_names(files);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto text_of = [](const std::string& path) {
      const std::vector<std::uint8_t> bytes = read_file(path, std::uint64_t{1} << 30);
      return std::string(bytes.begin(), bytes.end());
    };
    const std::string path = details_path(files[i]);
    std::vector<std::string> row = results_row(text_of(files[i]), fs::exists(path) ? text_of(path) : "", files[i]);
    row.insert(row.begin(), names[i]);
    table.add(row);
  }
  return table;
}

}  // namespace pen::eval
