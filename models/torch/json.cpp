#include "models/torch/json.h"

#include "base/json.h"

namespace pen::torch {
namespace {

// Without surrogates, which JSON's UTF-8 does not know.
std::string plain_utf8(const std::string& text) {
  std::string out = text;
  for (std::size_t i = 0; i + 2 < out.size(); ++i)
    if (static_cast<unsigned char>(out[i]) == 0xed && static_cast<unsigned char>(out[i + 1]) >= 0xa0)
      out.replace(i, 3, "???");
  return out;
}

void write_json(JsonWriter& json, const Value& v, int depth, std::size_t& left) {
  if (left == 0) return void(json.value("..."));
  --left;
  switch (v.kind) {
    case Kind::none:
      json.null();
      return;
    case Kind::boolean:
      json.value(v.integer != 0);
      return;
    case Kind::integer:
      json.value(v.integer);
      return;
    case Kind::real:
      json.value(v.real);
      return;
    case Kind::text:
      json.value(plain_utf8(v.text));
      return;
    case Kind::list:
    case Kind::tuple:
    case Kind::set:
      if (depth == 0) break;
      json.begin_array();
      for (std::size_t i = 0; i < v.items.size() && left > 0; ++i) write_json(json, *v.items[i], depth - 1, left);
      json.end_array();
      return;
    case Kind::dict:
      if (depth == 0) break;
      json.begin_object();
      for (std::size_t i = 0; i + 1 < v.items.size() && left > 0; i += 2) {
        const Value& key = *v.items[i];
        json.key(key.is(Kind::text) ? plain_utf8(key.text) : describe(key));
        write_json(json, *v.items[i + 1], depth - 1, left);
      }
      json.end_object();
      return;
    default:
      break;
  }
  json.value(describe(v));
}

}  // namespace

std::string json_of(const Value& value, int depth) {
  JsonWriter json;
  std::size_t left = 100'000;  // nodes: a small file can describe a huge structure
  write_json(json, value, depth, left);
  return json.text();
}

}  // namespace pen::torch
