// The three formats: where each keeps its pickles and its storages.
#include <map>
#include <unordered_map>

#include "models/torch/file.h"
#include "models/torch/pickle.h"
#include "models/torch/pickle_objects.h"
#include "models/torch/tar.h"
#include "models/torch/zip.h"

namespace pen::torch {
namespace {

const PersistentLoad no_persistent = [](const Value&, const Cursor& in, std::uint64_t at) -> Value* {
  in.refuse(at, "BINPERSID: a persistent id has no meaning here");
};

// "torch.FloatStorage", "torch.cuda.HalfStorage", "torch.storage.UntypedStorage" -> element type.
Scalar storage_type(const Value& type, const Cursor& in, std::uint64_t at) {
  if (type.kind != Kind::global) in.refuse(at, "a storage's class is " + describe(type));
  const std::string& full = type.text;
  const std::size_t dot = full.rfind('.');
  const std::string module = full.substr(0, dot), name = full.substr(dot + 1);
  if (module == "torch" || module == "torch.cuda" || module == "torch.storage") {
    if (const auto known = scalar_of_storage(name)) return *known;
    if (name == "UntypedStorage" || name == "_UntypedStorage") return Scalar::u8;
  }
  in.refuse(at, "storages of class " + printable(full) + " are not supported (complex and quantised ones are not)");
}

// Keys are texts; PyTorch 0.1 also wrote numbers.
std::string key_of(const Value& key, const Cursor& in, std::uint64_t at) {
  if (key.kind == Kind::text || key.kind == Kind::big_integer) return key.text;
  if (key.kind == Kind::integer) return std::to_string(key.integer);
  in.refuse(at, "a key is " + describe(key));
}

std::int64_t integer_of(const Value& v, const char* what, const Cursor& in, std::uint64_t at) {
  if (v.kind != Kind::integer || v.integer < 0) in.refuse(at, str(what, " is ", describe(v)));
  return v.integer;
}

const Value& tuple_of(const Value* v, std::size_t n, const char* what, const Cursor& in, std::uint64_t at) {
  if (v->kind != Kind::tuple || v->items.size() != n) in.refuse(at, str(what, " is ", describe(*v)));
  return *v;
}

std::uint64_t byte_count(std::int64_t numel, Scalar type, const Cursor& in, std::uint64_t at) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(numel, static_cast<std::int64_t>(size_of(type)), &bytes))
    in.refuse(at, str("a storage of ", numel, " elements, whose size overflows"));
  return static_cast<std::uint64_t>(bytes);
}

void check_system(const Value& info, const Cursor& in, std::uint64_t at) {
  const Value* little = info.find("little_endian");
  if (!little || little->kind != Kind::boolean) in.refuse(at, "the system's description is " + describe(info));
  if (!little->integer) in.refuse(at, "written on a big-endian machine; save it again on a little-endian one");
}

}  // namespace

// ('storage', class, key, location, numel[, view]) of the zip and legacy formats.
std::shared_ptr<Storage> File::storage_of(const Value& id, const Cursor& in, std::uint64_t at, bool view_allowed) {
  const auto bad = [&](const std::string& reason) { in.refuse(at, "BINPERSID: " + reason); };
  if (id.kind != Kind::tuple || id.items.empty() || id.items[0]->kind != Kind::text)
    bad("a persistent id that is " + describe(id));
  if (id.items[0]->text == "module")
    bad("holds a whole pickled module; save its weights alone: torch.save(model.state_dict(), ...)");
  if (id.items[0]->text != "storage" || id.items.size() < 5 || id.items.size() > 6)
    bad("a persistent id of '" + printable(id.items[0]->text) + "' with " + std::to_string(id.items.size()) + " items");
  const Scalar type = storage_type(*id.items[1], in, at);
  const std::string key = key_of(*id.items[2], in, at);
  const std::uint64_t bytes = byte_count(integer_of(*id.items[4], "a storage's length", in, at), type, in, at);
  Storage* known = nullptr;
  std::shared_ptr<Storage> out;
  if (const auto it = by_key_.find(key); it != by_key_.end()) {
    out = it->second;
    known = out.get();
    if (known->bytes != bytes || known->type != type)
      bad("storage '" + printable(key) + "' comes with two different types or lengths");
  } else {
    if (!values_->budget.charge(sizeof(Storage) + 2 * key.size() + 128))
      bad("too many storages for the memory allowed");
    out = std::make_shared<Storage>();
    out->key = key;
    out->type = type;
    out->bytes = bytes;
    by_key_[key] = out;
    storages_.push_back(out);
  }
  if (id.items.size() == 5 || id.items[5]->kind == Kind::none) return out;
  if (!view_allowed) bad("a view of a storage");
  // An alias of a slice of the root storage, in elements; it is placed with its root.
  const Value& view = tuple_of(id.items[5], 3, "a view", in, at);
  const std::string view_key = key_of(*view.items[0], in, at);
  const std::int64_t from = integer_of(*view.items[1], "a view's offset", in, at);
  const std::int64_t size = integer_of(*view.items[2], "a view's size", in, at);
  const std::uint64_t first = byte_count(from, type, in, at), length = byte_count(size, type, in, at);
  if (first > bytes || length > bytes - first)
    bad(str("a view of elements ", from, " to ", from, " + ", size, " of a storage of ", bytes, " bytes"));
  if (!values_->budget.charge(sizeof(Storage) + 2 * view_key.size() + 128))
    bad("too many views for the memory allowed");
  auto alias = std::make_shared<Storage>(*out);
  alias->key = view_key;
  alias->bytes = length;
  views_.push_back({alias, out, first});
  return alias;
}

void File::place_views() {
  for (const View& v : views_) {
    v.alias->placed = v.root->placed;
    v.alias->at = v.root->at + v.first;
    v.alias->entry = v.root->entry;
  }
}

void File::open_zip() {
  const std::vector<ZipEntry> all = read_zip_directory(source_, values_->budget);
  std::unordered_map<std::string_view, const ZipEntry*> by_name;
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& e : all) {
    by_name[e.name] = &e;
    if (e.name.ends_with("/constants.pkl"))
      refuse_at(path(), printable(e.name), e.at, "a TorchScript archive; save the state_dict of the module instead");
    if (!e.name.ends_with("/data.pkl") || e.name.find('/') != e.name.size() - 9) continue;
    if (pickle) refuse_at(path(), printable(e.name), e.at, "a second data.pkl");
    pickle = &e;
  }
  if (!pickle)
    refuse_at(path(), "zip directory", source_.size(),
              "no entry <name>/data.pkl: this is a zip file, but not of torch.save");
  const std::string folder = pickle->name.substr(0, pickle->name.size() - 8);
  const std::string shown = printable(pickle->name);
  if (crc_of(source_, pickle->at, pickle->size) != pickle->crc)
    refuse_at(path(), shown, pickle->at, "the CRC-32 does not fit: the file is damaged");
  bool swapped = false;
  if (const auto order = by_name.find(folder + "byteorder"); order != by_name.end()) {
    std::string text(std::min<std::uint64_t>(order->second->size, 16), '\0');
    source_.read(order->second->at, text.data(), text.size());
    if (text != "little" && text != "big")
      refuse_at(path(), printable(order->first), order->second->at, "byte order '" + printable(text) + "'");
    swapped = text == "big";
  }
  Cursor in(source_, shown, pickle->at, pickle->at + pickle->size);
  root_ = unpickle(in, *values_, [&](const Value& id, const Cursor& cursor, std::uint64_t at) -> Value* {
    const std::shared_ptr<Storage> storage = storage_of(id, cursor, at, false);
    if (!storage->placed) {
      const auto entry = by_name.find(folder + "data/" + storage->key);
      if (entry == by_name.end())
        cursor.refuse(at, "BINPERSID: there is no entry '" + printable(folder + "data/" + storage->key) + "'");
      const ZipEntry& e = *entry->second;
      if (e.size != storage->bytes)
        refuse_at(path(), printable(e.name), e.at, str("has ", e.size, " bytes, its storage needs ", storage->bytes));
      storage->placed = true;
      storage->at = e.at;
      storage->entry = printable(e.name);
      storage->swapped = swapped;
    }
    Value* v = values_->make(Kind::storage);
    if (!v) cursor.refuse(at, "too many storages for the memory allowed");
    v->storage = storage;
    return v;
  });
  if (in.left() != 0) in.refuse(in.at(), str(in.left(), " bytes after the end of the pickle"));
  for (const ZipEntry& e : all) sums_.push_back({printable(e.name), e.at, e.size, e.crc});
}

std::size_t File::check_sums() const {
  for (const Sum& s : sums_)
    if (crc_of(source_, s.at, s.size) != s.crc)
      refuse_at(path(), s.entry, s.at, "the CRC-32 does not fit: the entry is damaged");
  return sums_.size();
}

void File::open_legacy() {
  Cursor in(source_, "header", 0, source_.size());
  unpickle(in, *values_, no_persistent);  // the magic number, known from sniffing
  std::uint64_t at = in.at();
  const Value* version = unpickle(in, *values_, no_persistent);
  if (version->kind != Kind::integer || version->integer != 1001)
    in.refuse(at, "protocol version " + describe(*version) + ", known is 1001");
  at = in.at();
  check_system(*unpickle(in, *values_, no_persistent), in, at);

  Cursor object(source_, "object pickle", in.at(), source_.size());
  root_ = unpickle(object, *values_, [&](const Value& id, const Cursor& cursor, std::uint64_t where) -> Value* {
    Value* v = values_->make(Kind::storage);
    if (!v) cursor.refuse(where, "too many storages for the memory allowed");
    v->storage = storage_of(id, cursor, where, true);
    return v;
  });
  Cursor list(source_, "storage keys", object.at(), source_.size());
  at = list.at();
  const Value* keys = unpickle(list, *values_, no_persistent);
  if (keys->kind != Kind::list) list.refuse(at, "the list of storages is " + describe(*keys));

  Cursor data(source_, "storages", list.at(), source_.size());
  for (const Value* key : keys->items) {
    at = data.at();
    const std::string name = key_of(*key, data, at);
    const auto it = by_key_.find(name);
    if (it == by_key_.end()) data.refuse(at, "storage '" + printable(name) + "' is listed, but nothing uses it");
    Storage& s = *it->second;
    if (s.placed) data.refuse(at, "storage '" + printable(name) + "' is listed twice");
    const auto count = data.little<std::int64_t>();
    if (count < 0 || static_cast<std::uint64_t>(count) != s.bytes / size_of(s.type))
      data.refuse(at, str("storage '", printable(name), "' has ", count, " elements, the object says ",
                          s.bytes / size_of(s.type)));
    s.placed = true;
    s.at = data.at();
    s.entry = "storage " + printable(name);
    data.skip(s.bytes, "a storage");
  }
  for (const auto& [name, storage] : by_key_)
    if (!storage->placed) data.refuse(data.at(), "storage '" + printable(name) + "' is used, but not in the file");
  place_views();
  if (data.left() != 0)
    values_->warn(str(data.left(), " bytes after the last storage (byte ", data.at(), ") are ignored"));
}

void File::open_tar() {
  std::map<std::string, TarMember> members;
  for (TarMember& m : read_tar_members(source_)) members[m.name] = m;
  const auto member = [&](const std::string& name) {
    const auto it = members.find(name);
    if (it == members.end())
      refuse_at(path(), "tar archive", source_.size(),
                "there is no member '" + name + "': this is a tar file, but not a complete one of PyTorch 0.1");
    return Cursor(source_, name, it->second.at, it->second.at + it->second.size);
  };
  Cursor system = member("sys_info"), pickle = member("pickle"), tensors = member("tensors"),
         storages = member("storages");
  const std::uint64_t system_at = system.at();
  check_system(*unpickle(system, *values_, no_persistent), system, system_at);
  const auto counted = [&](Cursor& in) {
    const std::uint64_t at = in.at();
    return integer_of(*unpickle(in, *values_, no_persistent), "the count", in, at);
  };
  const auto tuple = [&](Cursor& in, const char* what) -> const Value& {
    const std::uint64_t at = in.at();
    return tuple_of(unpickle(in, *values_, no_persistent), 3, what, in, at);
  };
  const auto charge = [&](const Cursor& in, std::uint64_t at, std::uint64_t bytes) {
    if (!values_->budget.charge(bytes)) in.refuse(at, "more entries than the memory allowed holds");
  };

  for (std::int64_t i = 0, n = counted(storages); i < n; ++i) {
    const std::uint64_t at = storages.at();
    const Value& head = tuple(storages, "a storage's description");
    auto s = std::make_shared<Storage>();
    s->key = key_of(*head.items[0], storages, at);
    s->type = storage_type(*head.items[2], storages, at);
    charge(storages, at, sizeof(Storage) + 2 * s->key.size() + 128);
    const auto count = storages.little<std::int64_t>();
    if (count < 0) storages.refuse(at, str("a storage of ", count, " elements"));
    s->bytes = byte_count(count, s->type, storages, at);
    s->at = storages.at();
    s->placed = true;
    s->entry = "storages";
    storages.skip(s->bytes, "a storage");
    if (!by_key_.emplace(s->key, s).second)
      storages.refuse(at, "storage '" + printable(s->key) + "' stands in the file twice");
    storages_.push_back(s);
  }
  const std::uint64_t views_at = storages.at();
  const Value* views = unpickle(storages, *values_, no_persistent);
  if (views->kind != Kind::list) storages.refuse(views_at, "the list of views is " + describe(*views));
  for (const Value* item : views->items) {
    const Value& view = tuple_of(item, 4, "a view", storages, views_at);
    const std::string key = key_of(*view.items[0], storages, views_at),
                      root = key_of(*view.items[1], storages, views_at);
    const auto it = by_key_.find(root);
    if (it == by_key_.end()) storages.refuse(views_at, "a view of the unknown storage '" + printable(root) + "'");
    auto alias = std::make_shared<Storage>(*it->second);
    charge(storages, views_at, sizeof(Storage) + 2 * key.size() + 128);
    const std::uint64_t first =
        byte_count(integer_of(*view.items[2], "a view's offset", storages, views_at), alias->type, storages, views_at);
    const std::uint64_t length =
        byte_count(integer_of(*view.items[3], "a view's size", storages, views_at), alias->type, storages, views_at);
    if (first > alias->bytes || length > alias->bytes - first) storages.refuse(views_at, "a view outside its storage");
    alias->key = key;
    alias->at += first;
    alias->bytes = length;
    if (!by_key_.emplace(key, alias).second)
      storages.refuse(views_at, "storage '" + printable(key) + "' stands in the file twice");
  }

  std::unordered_map<std::string, Value*> by_id;
  for (std::int64_t i = 0, n = counted(tensors); i < n; ++i) {
    const std::uint64_t at = tensors.at();
    const Value& head = tuple(tensors, "a tensor's description");
    const std::string id = key_of(*head.items[0], tensors, at), key = key_of(*head.items[1], tensors, at);
    const auto storage = by_key_.find(key);
    if (storage == by_key_.end()) tensors.refuse(at, "a tensor of the unknown storage '" + printable(key) + "'");
    const auto dimensions = tensors.little<std::int32_t>();
    if (dimensions < 0 || dimensions > 64) tensors.refuse(at, str("a tensor of ", dimensions, " dimensions"));
    tensors.skip(4, "a tensor's header");
    const Site site{tensors, *values_, at, "tensor"};
    const auto integers = [&](int count) {
      Value* list = site.make(Kind::tuple);
      for (int d = 0; d < count; ++d) {
        Value* v = site.make(Kind::integer);
        v->integer = tensors.little<std::int64_t>();
        site.append(*list, v);
      }
      return list;
    };
    const Value* size = integers(dimensions);
    const Value* stride = integers(dimensions);
    const Value* offset = integers(1)->items[0];
    charge(tensors, at, 2 * id.size() + 128);
    Value* v = make_tensor(site, storage->second, storage->second->type, *offset, *size, *stride);
    if (!by_id.emplace(id, v).second) tensors.refuse(at, "tensor '" + printable(id) + "' stands in the file twice");
  }
  root_ = unpickle(pickle, *values_, [&](const Value& id, const Cursor& in, std::uint64_t at) -> Value* {
    const auto it = by_id.find(key_of(id, in, at));
    if (it == by_id.end()) in.refuse(at, "BINPERSID: there is no tensor " + describe(id));
    return it->second;
  });
}

}  // namespace pen::torch
