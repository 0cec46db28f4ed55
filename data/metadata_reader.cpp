// Reading metadata JSON event by event: no document of 1.28 million small arrays is ever built.
#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "data/metadata.h"
// after base/json.h, which sets RapidJSON's options
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

namespace pen {

// A handler of RapidJSON's events. Each returns false to stop, with problem_ set.
class MetadataReader {
 public:
  explicit MetadataReader(Metadata& out) : out_(out) {}

  bool Null() { return scalar("null"); }
  bool Bool(bool) { return scalar("a boolean"); }
  bool Int(int v) { return number(v); }
  bool Uint(unsigned v) { return number(v); }
  bool Int64(std::int64_t v) { return number(v); }
  bool Uint64(std::uint64_t v) {
    return number(static_cast<std::int64_t>(std::min<std::uint64_t>(v, std::numeric_limits<std::int64_t>::max())));
  }
  bool Double(double) { return scalar("a fraction"); }
  bool RawNumber(const char*, rapidjson::SizeType, bool) { return scalar("a number"); }
  bool String(const char* text, rapidjson::SizeType length, bool);
  bool Key(const char* text, rapidjson::SizeType length, bool);
  bool StartObject();
  bool EndObject(rapidjson::SizeType);
  bool StartArray();
  bool EndArray(rapidjson::SizeType);

  const std::string& problem() const { return problem_; }
  // What can only be said at the end, since the classes follow the samples in the file. "" if all is well.
  std::string final_problem() const;

 private:
  enum class At {
    start,
    top,
    skip,
    root,
    samples_start,
    samples,
    sample_path,
    sample_label,
    sample_end,
    classes_start,
    classes,
    index_start,
    index,
    index_value,
    done
  };
  bool stop(std::string why) {
    problem_ = std::move(why);
    return false;
  }
  bool number(std::int64_t v);
  bool scalar(const char* what);  // any value that is not in its place, or one of an unknown key
  bool end_skipped();
  std::string wanted() const;

  Metadata& out_;
  At at_ = At::start;
  int depth_ = 0;  // of the value that is passed over
  bool has_samples_ = false, has_classes_ = false, has_index_ = false, has_root_ = false;
  std::vector<std::int64_t> far_labels_;  // number of the sample and its label, where it does not fit 32 bits
  std::string name_, problem_;
  std::vector<std::pair<std::string, std::int64_t>> index_;
};

std::string MetadataReader::wanted() const {
  const std::string sample = str("sample ", out_.size());
  switch (at_) {
    case At::start:
      return "an object with root, samples, classes and class_to_idx is expected";
    case At::root:
      return "'root' must be a string";
    case At::samples_start:
      return "'samples' must be a list of [path, class index]";
    case At::samples:
      return str(sample, " must be a list [path, class index]");
    case At::sample_path:
      return str("the path of ", sample, " must be a string");
    case At::sample_label:
      return str("the label of ", sample, " must be an integer");
    case At::sample_end:
      return str(sample, " must be [path, class index], nothing more");
    case At::classes_start:
      return "'classes' must be a list of names";
    case At::classes:
      return str("class ", out_.classes_.size(), " must be a string");
    case At::index_start:
      return "'class_to_idx' must be an object of name: index";
    case At::index_value:
      return str("'class_to_idx': the index of '", name_, "' must be an integer");
    default:
      return "a value is not in its place";
  }
}

bool MetadataReader::scalar(const char* what) {
  if (at_ == At::skip) {
    if (depth_ == 0) at_ = At::top;
    return true;
  }
  return stop(str(wanted(), ", not ", what));
}

bool MetadataReader::number(std::int64_t v) {
  if (at_ == At::sample_label) {
    const auto label = static_cast<std::int32_t>(v);
    out_.labels_.push_back(label);
    if (label != v && far_labels_.empty()) far_labels_ = {out_.size() - 1, v};
    at_ = At::sample_end;
    return true;
  }
  if (at_ == At::index_value) {
    index_.emplace_back(name_, v);
    at_ = At::index;
    return true;
  }
  return scalar("a number");
}

bool MetadataReader::String(const char* text, rapidjson::SizeType length, bool) {
  const std::string_view view(text, length);
  switch (at_) {
    case At::root:
      out_.root_ = view;
      at_ = At::top;
      return true;
    case At::sample_path:
      if (length == 0) return stop(str("the path of sample ", out_.size(), " is empty"));
      if (std::memchr(text, 0, length)) return stop(str("the path of sample ", out_.size(), " contains a NUL"));
      out_.paths_.insert(out_.paths_.end(), view.begin(), view.end());
      out_.ends_.push_back(static_cast<std::uint32_t>(out_.paths_.size()));
      at_ = At::sample_label;
      return true;
    case At::classes:
      out_.classes_.emplace_back(view);
      return true;
    default:
      return scalar("a string");
  }
}

bool MetadataReader::Key(const char* text, rapidjson::SizeType length, bool) {
  const std::string_view key(text, length);
  if (at_ == At::skip) return true;
  if (at_ == At::index) {
    name_ = key;
    at_ = At::index_value;
    return true;
  }
  const auto enter = [&](bool& seen, At next) {
    if (seen) return stop(str("the key '", key, "' occurs twice"));
    seen = true;
    at_ = next;
    return true;
  };
  if (key == "samples") return enter(has_samples_, At::samples_start);
  if (key == "classes") return enter(has_classes_, At::classes_start);
  if (key == "class_to_idx") return enter(has_index_, At::index_start);
  if (key == "root") return enter(has_root_, At::root);
  at_ = At::skip;
  depth_ = 0;
  return true;
}

bool MetadataReader::StartObject() {
  if (at_ == At::start)
    at_ = At::top;
  else if (at_ == At::index_start)
    at_ = At::index;
  else if (at_ == At::skip)
    ++depth_;
  else
    return stop(str(wanted(), ", not an object"));
  return true;
}

bool MetadataReader::EndObject(rapidjson::SizeType) {
  if (at_ == At::skip) return end_skipped();
  at_ = at_ == At::index ? At::top : At::done;
  return true;
}

bool MetadataReader::StartArray() {
  switch (at_) {
    case At::samples_start:
      at_ = At::samples;
      return true;
    case At::samples:
      at_ = At::sample_path;
      return true;
    case At::classes_start:
      at_ = At::classes;
      return true;
    case At::skip:
      ++depth_;
      return true;
    default:
      return stop(str(wanted(), ", not a list"));
  }
}

bool MetadataReader::EndArray(rapidjson::SizeType) {
  switch (at_) {
    case At::skip:
      return end_skipped();
    case At::sample_end:
      at_ = At::samples;
      return true;
    case At::samples:
    case At::classes:
      at_ = At::top;
      return true;
    default:
      return stop(wanted());  // a sample that ends early
  }
}

bool MetadataReader::end_skipped() {
  if (--depth_ == 0) at_ = At::top;
  return true;
}

std::string MetadataReader::final_problem() const {
  if (!has_samples_) return "the key 'samples' is missing";
  if (!has_classes_) return "the key 'classes' is missing";
  if (out_.size() == 0) return "there are no samples";
  const std::int64_t classes = out_.class_count();
  if (classes == 0) return "there are no classes";
  std::unordered_map<std::string_view, std::int64_t> position;
  for (std::int64_t c = 0; c < classes; ++c)
    if (!position.emplace(out_.classes_[static_cast<std::size_t>(c)], c).second)
      return str("the class '", out_.classes_[static_cast<std::size_t>(c)], "' occurs twice");
  for (const auto& [name, index] : index_) {
    const auto found = position.find(name);
    if (found == position.end() || found->second != index)
      return str("class_to_idx gives '", name, "' the index ", index, ", but 'classes' ",
                 found == position.end() ? std::string("does not list it") : str("has it at ", found->second));
  }
  if (has_index_ && index_.size() != out_.classes_.size())
    return str("class_to_idx has ", index_.size(), " names, but there are ", classes, " classes");
  for (std::int64_t i = 0; i < out_.size(); ++i) {
    const bool far = !far_labels_.empty() && far_labels_[0] == i;
    const std::int64_t label = far ? far_labels_[1] : out_.label(i);
    if (label < 0 || label >= classes)
      return str("sample ", i, " ('", out_.path_view(i), "') has label ", label, ", but there are ", classes,
                 " classes (labels 0 to ", classes - 1, ")");
  }
  return {};
}

Metadata Metadata::parse(std::string_view text, const std::string& name) {
  // RapidJSON's offsets into strings are 32-bit, and so are ours.
  PEN_CHECK_AS(data, text.size() < 0xfffffff0u, "'", name, "' has ", text.size(),
               " bytes, more than metadata may have");
  Metadata out;
  // The paths are most of the text. One block taken at once is never copied to grow; its unused end is given back.
  out.paths_.reserve(text.size() - text.size() / 8);
  MetadataReader handler(out);
  rapidjson::Reader reader;
  rapidjson::MemoryStream stream(text.data(), text.size());
  // Iterative: a file of a million brackets must not exhaust the stack.
  reader.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag | rapidjson::kParseNanAndInfFlag>(
      stream, handler);
  if (reader.HasParseError()) {
    const std::string where = line_and_column(text, reader.GetErrorOffset());
    if (!handler.problem().empty()) fail(ErrorKind::data, str("'", name, "', ", where, ": ", handler.problem()));
    fail(ErrorKind::data, str("'", name, "' is not valid JSON at ", where, ": ",
                              rapidjson::GetParseError_En(reader.GetParseErrorCode())));
  }
  if (const std::string problem = handler.final_problem(); !problem.empty())
    fail(ErrorKind::data, str("'", name, "': ", problem), "`penumbra prepare` writes such files");
  out.paths_.shrink_to_fit();
  out.ends_.shrink_to_fit();
  out.labels_.shrink_to_fit();
  return out;
}

Metadata Metadata::read(const std::string& file) {
  const MappedFile map(file);
  PEN_CHECK_AS(data, !map.bytes().empty(), "'", file, "' is empty");
  return parse({reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()}, file);
}

}  // namespace pen
