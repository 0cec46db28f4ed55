#include "models/checkpoint_tools.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <unordered_set>

#include "base/json.h"
#include "models/torch/write.h"
#include "models/torch_checkpoint.h"
#include "tensor/safetensors.h"

namespace pen {
namespace {

using torch::Kind;
using torch::Value;

constexpr std::size_t most_lines = 100'000;
constexpr int deepest = 40;

// Moments of n elements.
void measure(torch::Scalar type, const std::uint8_t* data, std::uint64_t n, TensorSummary& out) {
  double sum = 0, squares = 0;
  std::uint64_t count = 0;
  const std::size_t element = torch::size_of(type);
  for (std::uint64_t i = 0; i < n; ++i) {
    const double v = torch::value_of(type, data + i * element);
    if (!std::isfinite(v)) {
      ++out.not_finite;
      continue;
    }
    out.least = count == 0 ? v : std::min(out.least, v);
    out.most = count == 0 ? v : std::max(out.most, v);
    sum += v;
    squares += v * v;
    ++count;
  }
  if (count == 0) return;
  out.mean = sum / static_cast<double>(count);
  out.deviation = std::sqrt(std::max(0.0, squares / static_cast<double>(count) - out.mean * out.mean));
}

class Summarizer {
 public:
  FileSummary run(const std::string& path) {
    torch::Source source = torch::Source::open(path);
    out_.path = path;
    out_.bytes = source.size();
    if (torch::sniff(source) == torch::Sniffed::safetensors) {
      safetensors(path);
      return std::move(out_);
    }
    const auto file = torch::File::parse(std::move(source));
    file_ = file.get();
    out_.format = name_of(file->format());
    walk("", "", file->root(), 0);
    out_.warnings = file->warnings();
    return std::move(out_);
  }

 private:
  void line(int depth, const std::string& name, const std::string& what, int tensor = -1) {
    if (out_.tree.size() < most_lines) out_.tree.push_back({depth, name, what, tensor});
  }

  void add(int depth, const std::string& name, const std::string& path, torch::Scalar type,
           const std::vector<std::int64_t>& shape, const std::uint8_t* data, std::uint64_t n) {
    TensorSummary t{path, torch::torch_name(type), shape, n * torch::size_of(type)};
    measure(type, data, n, t);
    line(depth, name, "", static_cast<int>(out_.tensors.size()));
    out_.tensors.push_back(std::move(t));
  }

  void safetensors(const std::string& path) {
    out_.format = "safetensors";
    const SafetensorsFile file = SafetensorsFile::open(path);
    for (const auto& [key, value] : file.metadata()) line(0, torch::printable(key), torch::printable(value));
    for (const std::string& name : file.order()) {
      const StoredTensor& t = file.at(name);
      const auto type = torch::scalar_of_safetensors(t.dtype);
      PEN_CHECK_AS(checkpoint, type.has_value(), "'", path, "': tensor '", name, "' is of ", t.dtype,
                   ", which no network here has");
      add(0, torch::printable(name), name, *type, t.shape, t.bytes.data(), static_cast<std::uint64_t>(t.numel()));
    }
  }

  // Depth is bounded; a node that comes again is named, not entered.
  void walk(const std::string& name, const std::string& path, const Value& v, int depth) {
    if (out_.tree.size() >= most_lines) return;
    if (v.is(Kind::tensor) && v.tensor) {
      file_->charge(*v.tensor, path, v.tensor->bytes());
      std::vector<std::uint8_t> data(v.tensor->bytes());
      file_->read(*v.tensor, data.data());
      add(std::max(depth - 1, 0), name, path, v.tensor->type, v.tensor->shape, data.data(), v.tensor->numel());
      file_->values_budget().give_back(v.tensor->bytes());
      return;
    }
    if (depth > 0) line(depth - 1, name, describe(v));
    const bool nested = v.is(Kind::dict) || v.is(Kind::list) || v.is(Kind::tuple) || v.is(Kind::set);
    if ((!nested && !v.is(Kind::object)) || v.items.empty() + (v.state == nullptr) == 2) return;
    if (depth >= deepest || !seen_.insert(&v).second) return line(depth, "...", "as above, or too deep");
    const auto below = [&](const std::string& key, const Value& item) {
      walk(torch::printable(key), path.empty() ? key : path + "." + key, item, depth + 1);
    };
    if (v.is(Kind::dict)) {
      for (std::size_t i = 0; i + 1 < v.items.size(); i += 2) {
        const Value& key = *v.items[i];
        below(key.is(Kind::text) ? key.text : describe(key), *v.items[i + 1]);
      }
    } else if (v.is(Kind::object)) {
      if (v.state && v.state->is(Kind::dict)) below("attributes", *v.state);
    } else {
      for (std::size_t i = 0; i < v.items.size(); ++i) below(std::to_string(i), *v.items[i]);
    }
  }

  FileSummary out_;
  const torch::File* file_ = nullptr;
  std::unordered_set<const Value*> seen_;
};

std::string short_number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", v);
  return text;
}

std::string short_bytes(std::uint64_t n) {
  if (n < 1000) return std::to_string(n) + " B";
  char text[32];
  const double v = static_cast<double>(n);
  if (n < 1'000'000)
    std::snprintf(text, sizeof text, "%.1f kB", v * 1e-3);
  else
    std::snprintf(text, sizeof text, "%.1f MB", v * 1e-6);
  return text;
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out;
  for (const std::int64_t d : shape) out += (out.empty() ? "(" : ", ") + std::to_string(d);
  return out.empty() ? "()" : out + ")";
}

// The largest difference of two tensors of one shape, as doubles; NaN where only one is.
double distance(const Tensor& a, const Tensor& b) {
  const torch::Scalar p = torch::stored_type(a.dtype()), q = torch::stored_type(b.dtype());
  const auto* x = static_cast<const std::uint8_t*>(a.bytes());
  const auto* y = static_cast<const std::uint8_t*>(b.bytes());
  double most = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double u = torch::value_of(p, x + static_cast<std::size_t>(i) * torch::size_of(p));
    const double v = torch::value_of(q, y + static_cast<std::size_t>(i) * torch::size_of(q));
    if (std::isnan(u) && std::isnan(v)) continue;
    const double d = u == v ? 0 : std::fabs(u - v);
    if (std::isnan(d)) return d;
    most = std::max(most, d);
  }
  return most;
}

}  // namespace

FileSummary summarize(const std::string& path) { return Summarizer().run(path); }

std::string summary_text(const FileSummary& s) {
  std::uint64_t elements = 0;
  std::size_t width = 8;
  for (const TensorSummary& t : s.tensors) {
    std::uint64_t n = 1;
    for (const std::int64_t d : t.shape) n *= static_cast<std::uint64_t>(d);
    elements += n;
  }
  for (const auto& l : s.tree)
    width = std::max(width, std::min<std::size_t>(l.name.size() + 2 * static_cast<std::size_t>(l.depth), 60));
  std::string out = str(s.path, ": ", s.format, ", ", short_bytes(s.bytes), ", ", s.tensors.size(), " tensors of ",
                        elements, " elements\n");
  for (const auto& l : s.tree) {
    out += padded(std::string(2 * static_cast<std::size_t>(l.depth), ' ') + l.name, width) + "  ";
    if (l.tensor < 0) {
      out += l.what + "\n";
      continue;
    }
    const TensorSummary& t = s.tensors[static_cast<std::size_t>(l.tensor)];
    out += padded(t.type, 8) + "  " + padded(shape_text(t.shape), 20) + "  " + padded(short_bytes(t.bytes), 9) +
           "  mean " + padded(short_number(t.mean), 10) + "  std " + padded(short_number(t.deviation), 10) + "  in [" +
           short_number(t.least) + ", " + short_number(t.most) + "]";
    if (t.not_finite > 0) out += str("  ", t.not_finite, " not finite");
    out += "\n";
  }
  for (const std::string& w : s.warnings) out += "note: " + w + "\n";
  return out;
}

std::string summary_json(const FileSummary& s) {
  JsonWriter json(true);
  json.begin_object().field("file", s.path).field("format", s.format).field("bytes", s.bytes);
  json.key("values").begin_array();
  for (const auto& l : s.tree) {
    if (l.tensor >= 0) continue;
    json.begin_object().field("name", l.name).field("depth", l.depth).field("value", l.what).end_object();
  }
  json.end_array().key("tensors").begin_array();
  for (const TensorSummary& t : s.tensors) {
    json.begin_object().field("name", torch::printable(t.name, 1000)).field("dtype", t.type).field("shape", t.shape);
    json.field("bytes", t.bytes).field("mean", t.mean).field("std", t.deviation).field("min", t.least);
    json.field("max", t.most).field("not_finite", t.not_finite).end_object();
  }
  json.end_array().field("warnings", s.warnings).end_object();
  return json.text() + "\n";
}

Verified verify_checkpoint(const std::string& path) {
  Verified out;
  {
    torch::Source source = torch::Source::open(path);
    if (torch::sniff(source) != torch::Sniffed::safetensors)
      out.sums = torch::File::parse(std::move(source))->check_sums();
  }
  const FileSummary s = summarize(path);
  out.format = s.format;
  out.tensors = s.tensors.size();
  for (const TensorSummary& t : s.tensors) {
    std::uint64_t n = 1;
    for (const std::int64_t d : t.shape) n *= static_cast<std::uint64_t>(d);
    out.elements += n;
    PEN_CHECK_AS(checkpoint, t.not_finite == 0, "'", path, "': tensor '", torch::printable(t.name, 200), "' has ",
                 t.not_finite, " of ", n, " elements that are not finite");
  }
  return out;
}

void convert_checkpoint(const std::string& from, const std::string& to, const std::string& format) {
  if (format == "safetensors") return write_safetensors(to, read_checkpoint(from));
  const torch::Format target = format == "legacy" ? torch::Format::legacy : torch::Format::zip;
  torch::Source source = torch::Source::open(from);
  if (torch::sniff(source) != torch::Sniffed::safetensors) {
    const auto file = torch::File::parse(std::move(source));
    return torch::write_file(to, file->root(), target, file.get());
  }
  const Checkpoint checkpoint = read_checkpoint(from);
  torch::Values values(UINT64_MAX);
  const Value* root = value_of(checkpoint, values);
  // Weights alone become a plain state dict, as people pass them on.
  const bool plain = checkpoint.facts.empty() && checkpoint.parts.size() == 1;
  if (const Value* only = root->find("state_dict_classifier"); plain && only) root = only;
  torch::write_file(to, *root, target);
}

std::vector<std::string> checkpoint_differences(const std::string& a, const std::string& b) {
  const Checkpoint x = read_checkpoint(a), y = read_checkpoint(b);
  std::vector<std::string> out;
  const auto flat = [](const Checkpoint& c) {
    std::map<std::string, Tensor> all;
    for (const auto& [part, state] : c.parts)
      for (const NamedTensor& t : state) all[part + "." + t.name] = t.tensor;
    return all;
  };
  const std::map<std::string, Tensor> p = flat(x), q = flat(y);
  const auto only = [&](const std::string& name, const std::string& where) {
    out.push_back(name + ": only in " + where);
  };
  for (const auto& [name, t] : p) {
    const auto it = q.find(name);
    if (it == q.end()) {
      only(name, a);
    } else if (t.shape() != it->second.shape()) {
      out.push_back(name + ": shapes " + to_string(t.shape()) + " and " + to_string(it->second.shape()));
    } else if (const double d = distance(t, it->second); !(d == 0)) {
      out.push_back(name + ": differs by up to " + short_number(d));
    } else if (t.dtype() != it->second.dtype()) {
      out.push_back(str(name, ": types ", name_of(t.dtype()), " and ", name_of(it->second.dtype())));
    }
  }
  for (const auto& [name, t] : q)
    if (!p.count(name)) only(name, b);
  for (const auto& [key, value] : x.facts) {
    const auto it = y.facts.find(key);
    if (it == y.facts.end())
      only(key, a);
    else if (it->second != value)
      out.push_back(key + ": " + torch::printable(value, 60) + " and " + torch::printable(it->second, 60));
  }
  for (const auto& [key, value] : y.facts)
    if (!x.facts.count(key)) only(key, b);
  return out;
}

}  // namespace pen
