#include "models/torch/pickle_numpy.h"

#include "models/torch/text.h"

namespace pen::torch {
namespace {

Scalar numpy_type(const Site& site, const Value* dtype) {
  if (dtype->kind != Kind::object || dtype->text.empty()) site.refuse("the dtype is " + describe(*dtype));
  return *scalar_of_numpy(dtype->text);
}

}  // namespace

std::int64_t integer_of(const Site& site, const Value* v, const char* what) {
  return site.expect(v, Kind::integer, what).integer;
}

const Value& sequence(const Site& site, const Value* v, const char* what) {
  if (v->kind != Kind::tuple && v->kind != Kind::list)
    site.refuse(str(what, " is ", describe(*v), ", expected a tuple of integers"));
  return *v;
}

std::string bytes_of(const Site& site, const Value* v, bool latin1) {
  if (!site.values.budget.charge(v->text.size() + 16)) site.out_of_budget();
  if (v->kind == Kind::bytes) return v->text;
  const std::string& text = site.expect(v, Kind::text, "the bytes").text;
  if (!latin1) return text;
  std::string out;
  if (!utf8_to_latin1(text, out)) site.refuse("bytes with a character above 255");
  return out;
}

Value* numpy_dtype(const Site& site, const Value& arguments) {
  std::string name = site.expect(arguments.items[0], Kind::text, "the dtype's name").text;
  if (!name.empty() && (name[0] == '<' || name[0] == '|')) name.erase(0, 1);
  if (!scalar_of_numpy(name)) site.refuse("numpy dtype '" + printable(name) + "' is not supported");
  Value* v = site.make(Kind::object);
  v->text = name;
  return v;
}

Value* numpy_scalar(const Site& site, const Value& arguments) {
  const Scalar type = numpy_type(site, arguments.items[0]);
  const std::string bytes = bytes_of(site, arguments.items[1], false);
  if (bytes.size() != size_of(type)) site.refuse(str("a ", torch_name(type), " of ", bytes.size(), " bytes"));
  const bool floating = type == Scalar::f64 || type == Scalar::f32 || type == Scalar::f16;
  if (type == Scalar::boolean) return site.values.boolean(bytes[0] != 0);
  Value* v = site.make(floating ? Kind::real : Kind::integer);
  if (floating) {
    v->real = value_of(type, bytes.data());
  } else if (type == Scalar::i64) {
    std::memcpy(&v->integer, bytes.data(), 8);
  } else {
    v->integer = static_cast<std::int64_t>(value_of(type, bytes.data()));
  }
  return v;
}

void fill_array(const Site& site, Value& array, const Value& state) {
  if (state.items.size() != 5) site.refuse(str("an array's state of ", state.items.size(), " items"));
  const Value& shape = sequence(site, state.items[1], "the shape");
  const Scalar type = numpy_type(site, state.items[2]);
  const bool fortran = site.expect(state.items[3], Kind::boolean, "the order").integer != 0;
  auto data = std::make_shared<std::string>(bytes_of(site, state.items[4], false));
  auto storage = std::make_shared<Storage>();
  storage->key = "array";
  storage->type = type;
  storage->bytes = data->size();
  storage->placed = true;
  storage->entry = site.cursor.entry();
  storage->memory = reinterpret_cast<const std::uint8_t*>(data->data());
  storage->owner = data;
  if (shape.items.size() > 64) site.refuse(str("an array of ", shape.items.size(), " dimensions"));
  // Strides in elements; wrong sizes are refused below with them.
  Value* stride = site.make(Kind::tuple);
  std::vector<std::int64_t> steps(shape.items.size());
  std::int64_t step = 1;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t at = fortran ? i : steps.size() - 1 - i;
    steps[at] = step;
    if (__builtin_mul_overflow(step, integer_of(site, shape.items[at], "a size"), &step))
      site.refuse("an array whose size overflows");
  }
  if (step < 0 || static_cast<std::uint64_t>(step) != data->size() / size_of(type) || data->size() % size_of(type) != 0)
    site.refuse(str("an array of ", step, " elements with ", data->size(), " bytes"));
  for (const std::int64_t s : steps) {
    Value* v = site.make(Kind::integer);
    v->integer = s;
    site.append(*stride, v);
  }
  Value* zero = site.make(Kind::integer);
  array.tensor = make_tensor(site, storage, type, *zero, shape, *stride)->tensor;
}

}  // namespace pen::torch
