#include "models/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "layers/init.h"
#include "models/torch_checkpoint.h"
#include "tensor/safetensors.h"

namespace pen {
namespace {

const char* file_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
    default:
      fail(ErrorKind::run, str("checkpoints hold no ", name_of(dtype)));
  }
}

// Read and not copied out of the file's map, whose pages would count as memory a second time.
Tensor read_tensor(const torch::Source& source, const SafetensorsFile& file, const std::string& name) {
  const StoredTensor& t = file.at(name);
  const auto type = torch::scalar_of_safetensors(t.dtype);
  PEN_CHECK_AS(checkpoint, type.has_value(), "'", file.name(), "': tensor '", name, "' is of ", t.dtype,
               ", which no network here has");
  Tensor out = Tensor::empty(t.shape, torch::memory_type(*type));
  if (t.bytes.empty()) return out;
  if (size_of(out.dtype()) == torch::size_of(*type)) {
    source.read(file.offset_of(t), out.mutable_bytes(), t.bytes.size());
    return out;
  }
  std::vector<std::uint8_t> narrow(t.bytes.size());
  source.read(file.offset_of(t), narrow.data(), narrow.size());
  torch::widen(*type, narrow.data(), static_cast<std::size_t>(out.numel()), out.mutable_bytes());
  return out;
}

// "optimizer_masker.final.0.weight.exp_avg" -> ("optimizer_masker", "final.0.weight.exp_avg"); "zoo.3.conv1.weight" ->
// ("zoo.3", "conv1.weight"); a plain name belongs to the classifier.
std::pair<std::string, std::string> split_name(const std::string& name) {
  for (const char* kind : {"state_dict_", "optimizer_"})
    if (const std::size_t dot = name.find('.'); name.starts_with(kind) && dot != std::string::npos)
      return {name.substr(0, dot), name.substr(dot + 1)};
  if (name.rfind("zoo.", 0) == 0)
    if (const std::size_t dot = name.find('.', 4); dot != std::string::npos)
      return {name.substr(0, dot), name.substr(dot + 1)};
  return {"state_dict_classifier", name};
}

std::string join_layers(const std::vector<int>& layers) {
  std::string out;
  for (const int l : layers) out += (out.empty() ? "" : ",") + std::to_string(l);
  return out;
}

const Tensor* find(const StateDict& state, const std::string& name) {
  for (const NamedTensor& t : state)
    if (t.name == name) return &t.tensor;
  return nullptr;
}

double to_double(const Checkpoint& from, const std::string& fact) {
  const std::string& text = from.fact(fact);
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  PEN_CHECK_AS(checkpoint, end.ec == std::errc() && end.ptr == text.data() + text.size(), "'", from.path, "': ", fact,
               " is '", text, "', not a number");
  return value;
}

MaskerOptions infer_masker(const Checkpoint& from, const StateDict& state) {
  MaskerOptions o;
  o.use_layers.clear();
  for (int i = 0; i < 5; ++i)
    if (find(state, str("conv1x1_", i, ".0.weight"))) o.use_layers.push_back(i);
  const Tensor* table = find(state, "class_module.embedding.weight");
  o.add_class_ids = table != nullptr;
  if (table) o.classes = table->size(0);
  o.apply_gumbel = find(state, "final.conv.weight") != nullptr;
  if (find(state, "final.tau")) o.gumbel_tau = -1;
  const Tensor* last = find(state, o.apply_gumbel ? "final.conv.weight" : "final.0.weight");
  PEN_CHECK_AS(checkpoint, last && last->shape().size() == 4, "'", from.path,
               "' holds no masker: final.*.weight is missing");
  // What the reduced taps do not account for is tap 0, used as it is.
  if (last->size(1) > 64 * static_cast<std::int64_t>(o.use_layers.size()) && !find(state, "conv1x1_0.0.weight"))
    o.use_layers.insert(o.use_layers.begin(), 0);
  return o;
}

}  // namespace

const std::string& Checkpoint::fact(const std::string& name) const {
  const auto it = facts.find(name);
  PEN_CHECK_AS(checkpoint, it != facts.end(), "'", path, "' does not say its '", name, "'");
  return it->second;
}

std::string Checkpoint::fact_or(const std::string& name, const std::string& otherwise) const {
  const auto it = facts.find(name);
  return it == facts.end() ? otherwise : it->second;
}

std::int64_t Checkpoint::integer(const std::string& name) const {
  const std::string& text = fact(name);
  std::int64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  PEN_CHECK_AS(checkpoint, end.ec == std::errc() && end.ptr == text.data() + text.size(), "'", path, "': ", name,
               " is '", text, "', not an integer");
  return value;
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  if (path.ends_with(".safetensors"))
    write_safetensors(path, checkpoint);
  else
    write_torch(path, checkpoint, torch::Format::zip);
}

void write_safetensors(const std::string& path, const Checkpoint& checkpoint) {
  SafetensorsWriter writer;
  for (const auto& [name, value] : checkpoint.facts) writer.metadata(name, value);
  std::vector<Tensor> on_cpu;  // the writer keeps pointers
  for (const auto& [part, state] : checkpoint.parts)
    for (const NamedTensor& t : state) {
      on_cpu.push_back(t.tensor.to(Device{}));
      writer.add(part + "." + t.name, file_dtype(t.tensor.dtype()), t.tensor.shape(), on_cpu.back().bytes());
    }
  writer.write(path);
}

Checkpoint read_checkpoint(const std::string& path) {
  torch::Source source = torch::Source::open(path);
  if (torch::sniff(source) != torch::Sniffed::safetensors) return checkpoint_of(*torch::File::parse(std::move(source)));
  const SafetensorsFile file = SafetensorsFile::open(path);
  Checkpoint out;
  out.path = path;
  out.facts = file.metadata();
  for (const std::string& name : file.order()) {
    const auto [part, inner] = split_name(name);
    out.parts[part].push_back({inner, read_tensor(source, file, name)});
  }
  return out;
}

void describe_classifier(const Classifier& classifier, double width, std::int64_t size, Checkpoint& into) {
  into.facts["arch"] = classifier.arch();
  into.facts["width"] = str(width);
  into.facts["classes"] = std::to_string(classifier.classes());
  into.facts["input_size"] = std::to_string(size);
}

void describe_masker(const MaskerOptions& o, Checkpoint& into) {
  into.facts["masker_use_layers"] = join_layers(o.use_layers);
  into.facts["upsample"] = o.bilinear ? "bilinear" : "nearest";
  into.facts["add_prob_layers"] = o.add_prob_layers ? "true" : "false";
  into.facts["add_class_ids"] = o.add_class_ids ? "true" : "false";
  into.facts["apply_gumbel"] = o.apply_gumbel ? "true" : "false";
  into.facts["apply_gumbel_tau"] = str(o.gumbel_tau);
  static constexpr const char* modes[] = {"hard", "soft", "sigmoid", "logits"};
  into.facts["gumbel_output_mode"] = modes[static_cast<int>(o.gumbel_mode)];
}

std::unique_ptr<Classifier> load_classifier(const Checkpoint& from, const std::string& arch) {
  PEN_CHECK_AS(checkpoint, from.has("state_dict_classifier"), "'", from.path, "' holds no classifier");
  const StateDict& state = from.parts.at("state_dict_classifier");
  std::unique_ptr<Classifier> out;
  if (arch.empty() && from.facts.count("arch")) {
    const init::Skip weights_come_next;
    Rng unused;
    out = make_classifier({from.fact("arch"), from.integer("classes"), to_double(from, "width")}, unused);
  } else {
    out = classifier_for(state, from.path, arch);
  }
  load_state(*out, state, from.path);
  out->eval();
  return out;
}

std::unique_ptr<Masker> load_masker(const Checkpoint& from) {
  PEN_CHECK_AS(checkpoint, from.has("state_dict_masker"), "'", from.path,
               "' holds no masker (a file of `penumbra train` does)");
  const StateDict& state = from.parts.at("state_dict_masker");
  MaskerOptions o = infer_masker(from, state);
  // What a file says wrongly is the file's fault and no usage error.
  const auto parsed = [&](const std::string& fact, const auto& parse) {
    try {
      return parse(from.fact(fact));
    } catch (const Error& error) {
      fail(ErrorKind::checkpoint, str("'", from.path, "': ", fact, ": ", error.what()));
    }
  };
  if (from.facts.count("masker_use_layers")) o.use_layers = parsed("masker_use_layers", parse_use_layers);
  o.bilinear = from.fact_or("upsample", "nearest") == "bilinear";
  o.add_prob_layers = from.fact_or("add_prob_layers", "false") == "true";
  if (from.facts.count("gumbel_output_mode")) o.gumbel_mode = parsed("gumbel_output_mode", parse_gumbel_mode);
  if (o.apply_gumbel && from.facts.count("apply_gumbel_tau")) o.gumbel_tau = to_double(from, "apply_gumbel_tau");
  const std::int64_t extra = (o.add_prob_layers ? 1 : 0) + (o.add_class_ids ? 64 : 0);
  for (std::size_t i = 0; i < o.tap_widths.size(); ++i)
    if (const Tensor* w = find(state, str("conv1x1_", i, ".0.weight"))) o.tap_widths[i] = w->size(1) - extra;
  const Tensor* last = find(state, o.apply_gumbel ? "final.conv.weight" : "final.0.weight");
  if (!o.use_layers.empty() && o.use_layers[0] == 0 && o.use_layers.size() > 1)
    o.tap_widths[0] = last->size(1) - 64 * static_cast<std::int64_t>(o.use_layers.size() - 1) - extra;
  // Taps that the masker does not read take their widths from the classifier beside it.
  if (from.has("state_dict_classifier")) {
    const std::vector<std::int64_t> widths = load_classifier(from)->tap_widths();
    o.tap_widths.resize(widths.size());
    for (std::size_t i = 0; i < o.tap_widths.size(); ++i)
      if (std::find(o.use_layers.begin(), o.use_layers.end(), static_cast<int>(i)) == o.use_layers.end())
        o.tap_widths[i] = widths.at(i);
  }
  Rng unused;
  auto out = std::make_unique<Masker>(o, unused);
  load_state(*out, state, from.path);
  out->eval();
  return out;
}

std::vector<std::string> class_names(const Checkpoint& from) {
  std::vector<std::string> out;
  if (!from.facts.count("class_names")) return out;
  const rapidjson::Document json =
      parse_json(from.fact("class_names"), from.path + " (class_names)", ErrorKind::checkpoint);
  PEN_CHECK_AS(checkpoint, json.IsArray(), "'", from.path, "': class_names is not a list");
  for (const auto& v : json.GetArray()) {
    PEN_CHECK_AS(checkpoint, v.IsString(), "'", from.path, "': a class name is not a string");
    out.emplace_back(v.GetString(), v.GetStringLength());
  }
  return out;
}

std::int64_t input_size(const Checkpoint& from) {
  if (!from.facts.count("input_size")) return 224;
  const std::int64_t size = from.integer("input_size");
  PEN_CHECK_AS(checkpoint, size >= 16 && size <= 16384, "'", from.path, "': an input size of ", size);
  return size;
}

}  // namespace pen
