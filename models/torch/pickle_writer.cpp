#include "models/torch/pickle_writer.h"

#include <bit>
#include <map>
#include <unordered_map>

#include "models/torch/text.h"

namespace pen::torch {
namespace {

constexpr int deepest = 200;

class Writer {
 public:
  explicit Writer(bool legacy) : legacy_(legacy) {}

  Pickled run(const Value& root) {
    out_ = "\x80\x02";
    value(root, 0);
    out_ += '.';
    return {std::move(out_), std::move(storages_)};
  }

 private:
  template <class T>
  void little(T number) {
    for (std::size_t i = 0; i < sizeof number; ++i)
      out_ += static_cast<char>(static_cast<std::uint64_t>(number) >> 8 * i);
  }
  void put(std::uint32_t id) {
    if (id < 256) {
      out_ += 'q';
      little(static_cast<std::uint8_t>(id));
    } else {
      out_ += 'r';
      little(id);
    }
  }
  void get(std::uint32_t id) {
    if (id < 256) {
      out_ += 'h';
      little(static_cast<std::uint8_t>(id));
    } else {
      out_ += 'j';
      little(id);
    }
  }
  // Texts and names are written once and recalled afterwards.
  bool recalled(const std::string& what) {
    const auto [it, is_new] = texts_.try_emplace(what, next_);
    if (!is_new) get(it->second);
    return !is_new;
  }
  void text(const std::string& s) {
    if (recalled("X" + s)) return;
    out_ += 'X';
    little(static_cast<std::uint32_t>(s.size()));
    out_ += s;
    put(next_++);
  }
  void global(const std::string& module, const std::string& name) {
    if (recalled("c" + module + "\n" + name)) return;
    out_ += "c" + module + "\n" + name + "\n";
    put(next_++);
  }
  void integer(std::int64_t n) {
    if (n >= 0 && n < 256) {
      out_ += 'K';
      little(static_cast<std::uint8_t>(n));
    } else if (n >= 0 && n < 65536) {
      out_ += 'M';
      little(static_cast<std::uint16_t>(n));
    } else if (n >= INT32_MIN && n <= INT32_MAX) {
      out_ += 'J';
      little(static_cast<std::int32_t>(n));
    } else {
      out_ += "\x8a\x08";
      little(n);
    }
  }
  void integers(const std::vector<std::int64_t>& all) {
    if (all.empty()) {
      out_ += ')';
      return;
    }
    if (all.size() > 3) out_ += '(';
    for (const std::int64_t n : all) integer(n);
    out_ += all.size() > 3 ? 't' : static_cast<char>(0x84 + all.size());
  }
  void empty_ordered_dict() {
    global("collections", "OrderedDict");
    out_ += ")R";
  }
  void storage(const Storage& s, Scalar type) {
    const auto [it, is_new] = keys_.try_emplace(&s, storages_.size());
    if (is_new) storages_.push_back({&s, type});
    PEN_CHECK(storages_[it->second].type == type, "storage '", s.key, "' holds elements of two types");
    out_ += '(';
    text("storage");
    global("torch", storage_name(type));
    text(std::to_string(it->second));
    text("cpu");
    integer(static_cast<std::int64_t>(s.bytes / size_of(type)));
    if (legacy_) out_ += 'N';
    out_ += "tQ";
  }
  void tensor(const TensorInfo& t) {
    global("torch._utils", "_rebuild_tensor_v2");
    out_ += '(';
    storage(*t.storage, t.type);
    integer(t.offset);
    integers(t.shape);
    integers(t.stride);
    out_ += '\x89';
    empty_ordered_dict();
    out_ += "tR";
  }
  void items(const Value& v, int depth) {
    for (const Value* item : v.items) value(*item, depth + 1);
  }
  void node(const Value& v, int depth);
  void value(const Value& v, int depth);

  bool legacy_;
  std::string out_;
  std::vector<Pickled::Stored> storages_;
  std::unordered_map<const Storage*, std::size_t> keys_;
  std::unordered_map<std::string, std::uint32_t> texts_;
  std::unordered_map<const Value*, std::uint32_t> nodes_;
  std::uint32_t next_ = 0;
};

void Writer::value(const Value& v, int depth) {
  PEN_CHECK(depth <= deepest, "values nested deeper than ", deepest, " are not written");
  switch (v.kind) {
    case Kind::none:
      out_ += 'N';
      return;
    case Kind::boolean:
      out_ += v.integer ? '\x88' : '\x89';
      return;
    case Kind::integer:
      return integer(v.integer);
    case Kind::big_integer: {
      const std::string bytes = bytes_of_decimal(v.text);
      PEN_CHECK(bytes.size() < 256, "an integer of ", bytes.size(), " bytes is not written");
      out_ += '\x8a';
      little(static_cast<std::uint8_t>(bytes.size()));
      out_ += bytes;
      return;
    }
    case Kind::real: {
      const auto bits = std::bit_cast<std::uint64_t>(v.real);
      out_ += 'G';
      for (int i = 7; i >= 0; --i) out_ += static_cast<char>(bits >> 8 * i);
      return;
    }
    case Kind::text:
      return text(v.text);
    case Kind::bytes:
      global("_codecs", "encode");
      text(latin1_to_utf8(v.text));
      text("latin1");
      out_ += "\x86R";
      return;
    case Kind::global:
      if (v.text.starts_with("torch.") && scalar_of_torch(v.text.substr(6))) return global("torch", v.text.substr(6));
      return text(v.text);
    default:
      break;
  }
  if (const auto it = nodes_.find(&v); it != nodes_.end()) return get(it->second);
  node(v, depth);
}

void Writer::node(const Value& v, int depth) {
  // Known before its items are written, so that one that holds itself ends; tuples and calls are known afterwards, as
  // Python's own pickler does it.
  const auto remember = [&] {
    nodes_[&v] = next_;
    put(next_++);
  };
  switch (v.kind) {
    case Kind::list:
      out_ += ']';
      remember();
      out_ += '(';
      items(v, depth);
      out_ += 'e';
      return;
    case Kind::dict:
      if (v.ordered)
        empty_ordered_dict();
      else
        out_ += '}';
      remember();
      out_ += '(';
      items(v, depth);
      out_ += 'u';
      if (v.state && v.state->kind == Kind::dict && v.ordered) {
        value(*v.state, depth + 1);
        out_ += 'b';
      }
      return;
    case Kind::tuple:
      out_ += '(';
      items(v, depth);
      out_ += 't';
      return remember();
    case Kind::set:
      global("__builtin__", "set");
      out_ += "](";
      items(v, depth);
      out_ += "e\x85R";
      return remember();
    case Kind::tensor:
      PEN_CHECK(v.tensor, "an empty Parameter is not written");
      tensor(*v.tensor);
      return remember();
    case Kind::object:
      if (v.state && v.state->kind == Kind::dict) return value(*v.state, depth + 1);
      return text(describe(v));
    default:
      return text(describe(v));
  }
}

}  // namespace

Pickled pickle_value(const Value& root, bool legacy) { return Writer(legacy).run(root); }

}  // namespace pen::torch
