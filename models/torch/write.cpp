#include "models/torch/write.h"

#include <algorithm>
#include <bit>

#include "models/torch/pickle_writer.h"
#include "models/torch/zip_writer.h"

namespace pen::torch {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are written as they lie in memory");

// Calls write(data, n) on the storage's bytes, piece by piece if they lie in a file.
template <class Write>
void each_piece(const Pickled::Stored& stored, const File* from, const Write& write) {
  const Storage& s = *stored.storage;
  if (s.memory) return write(s.memory, static_cast<std::size_t>(s.bytes));
  PEN_CHECK(from, "storage '", s.key, "' lies in a file that is not at hand");
  std::vector<std::uint8_t> piece(static_cast<std::size_t>(std::min<std::uint64_t>(s.bytes, 1 << 20)));
  for (std::uint64_t at = 0; at < s.bytes;) {
    const std::uint64_t n = std::min<std::uint64_t>(piece.size(), s.bytes - at);
    from->read_storage(s, at, piece.data(), n);
    if (const std::size_t element = size_of(stored.type); s.swapped)
      for (std::uint64_t i = 0; i + element <= n; i += element) std::reverse(&piece[i], &piece[i] + element);
    write(piece.data(), static_cast<std::size_t>(n));
    at += n;
  }
}

template <class T>
std::string little(T number) {
  std::string out;
  for (std::size_t i = 0; i < sizeof number; ++i) out += static_cast<char>(static_cast<std::uint64_t>(number) >> 8 * i);
  return out;
}

void write_zip(AtomicFile& file, const Pickled& pickle, const File* from) {
  ZipWriter zip(file);
  zip.add("archive/data.pkl", pickle.bytes);
  zip.add("archive/byteorder", "little");
  for (std::size_t i = 0; i < pickle.storages.size(); ++i) {
    zip.begin("archive/data/" + std::to_string(i), pickle.storages[i].storage->bytes);
    each_piece(pickle.storages[i], from, [&](const void* data, std::size_t n) { zip.write(data, n); });
    zip.end();
  }
  zip.add("archive/version", "3\n");
  zip.finish();
}

void write_legacy(AtomicFile& file, const Pickled& pickle, const File* from) {
  using namespace std::string_literals;
  file.write("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."s);
  file.write("\x80\x02}q\0(X\x10\0\0\0protocol_versionq\1M\xe9\x03X\r\0\0\0little_endianq\2\x88"s);
  file.write("X\n\0\0\0type_sizesq\3}q\4(X\5\0\0\0shortq\5K\2X\3\0\0\0intq\6K\4X\4\0\0\0longq\7K\4uu."s);
  file.write(pickle.bytes);
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < pickle.storages.size(); ++i) keys.push_back(std::to_string(i));
  std::sort(keys.begin(), keys.end());  // as texts, as torch.save does
  std::string list = "\x80\x02](";
  for (const std::string& key : keys) list += "X" + little(static_cast<std::uint32_t>(key.size())) + key;
  file.write(list + "e.");
  for (const std::string& key : keys) {
    const Pickled::Stored& s = pickle.storages[std::stoul(key)];
    file.write(little(static_cast<std::int64_t>(s.storage->bytes / size_of(s.type))));
    each_piece(s, from, [&](const void* data, std::size_t n) { file.write(data, n); });
  }
}

}  // namespace

void write_file(const std::string& path, const Value& root, Format format, const File* from) {
  PEN_CHECK(format != Format::tar, "'", path, "': the tar format of PyTorch 0.1 is not written");
  const Pickled pickle = pickle_value(root, format == Format::legacy);
  AtomicFile file(path);
  if (format == Format::zip)
    write_zip(file, pickle, from);
  else
    write_legacy(file, pickle, from);
  file.commit();
}

Value* Builder::make(Kind kind) {
  Value* v = values_.make(kind);
  PEN_CHECK(v, "a checkpoint too large to describe");
  return v;
}

Value* Builder::integer(std::int64_t n) {
  Value* v = make(Kind::integer);
  v->integer = n;
  return v;
}

Value* Builder::real(double x) {
  Value* v = make(Kind::real);
  v->real = x;
  return v;
}

Value* Builder::text(std::string s) {
  Value* v = make(Kind::text);
  v->text = std::move(s);
  return v;
}

Value* Builder::dict(bool ordered) {
  Value* v = make(Kind::dict);
  v->ordered = ordered;
  return v;
}

Value* Builder::tensor(Scalar type, std::vector<std::int64_t> shape, const void* elements,
                       std::shared_ptr<void> owner) {
  auto t = std::make_shared<TensorInfo>();
  t->type = type;
  t->stride.assign(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) t->stride[i - 1] = t->stride[i] * std::max<std::int64_t>(shape[i], 1);
  t->shape = std::move(shape);
  t->storage = std::make_shared<Storage>();
  t->storage->type = type;
  t->storage->bytes = t->bytes();
  t->storage->placed = true;
  static const std::uint8_t nothing = 0;
  t->storage->memory = elements ? static_cast<const std::uint8_t*>(elements) : &nothing;
  t->storage->owner = std::move(owner);
  Value* v = make(Kind::tensor);
  v->tensor = std::move(t);
  return v;
}

}  // namespace pen::torch
