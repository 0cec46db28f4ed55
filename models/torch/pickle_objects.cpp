#include "models/torch/pickle_objects.h"

#include <algorithm>
#include <array>

#include "models/torch/pickle_numpy.h"
#include "models/torch/text.h"

namespace pen::torch {
namespace {

// The functions that PyTorch's own files call, and the classes that they make.
enum class Meaning {
  ordered_dict,
  dict_of_class,  // defaultdict(class): the class is of no interest
  dict_of_pairs,
  set,
  bytearray,
  complex,
  tensor_v1,
  tensor_v2,
  tensor_v3,
  tensor_from_type,
  parameter,
  parameter_with_state,
  size,
  device,
  layout,
  encode,
  numpy_scalar,
  numpy_dtype,
  numpy_array,
  parameter_class,
  reconstructor,
  unsupported,
  unknown,
};

struct Known {
  std::string_view name;
  Meaning meaning;
};
constexpr Known known[] = {
    {"collections.OrderedDict", Meaning::ordered_dict},
    {"collections.defaultdict", Meaning::dict_of_class},
    {"collections.Counter", Meaning::dict_of_pairs},
    {"builtins.dict", Meaning::dict_of_pairs},
    {"builtins.set", Meaning::set},
    {"builtins.frozenset", Meaning::set},
    {"builtins.bytearray", Meaning::bytearray},
    {"builtins.complex", Meaning::complex},
    {"torch._utils._rebuild_tensor", Meaning::tensor_v1},
    {"torch._utils._rebuild_tensor_v2", Meaning::tensor_v2},
    {"torch._utils._rebuild_tensor_v3", Meaning::tensor_v3},
    {"torch._tensor._rebuild_from_type_v2", Meaning::tensor_from_type},
    {"torch._utils._rebuild_parameter", Meaning::parameter},
    {"torch._utils._rebuild_parameter_with_state", Meaning::parameter_with_state},
    {"torch.nn.parameter.Parameter", Meaning::parameter_class},
    {"torch.Size", Meaning::size},
    {"torch.device", Meaning::device},
    {"torch.serialization._get_layout", Meaning::layout},
    {"_codecs.encode", Meaning::encode},
    {"numpy.core.multiarray.scalar", Meaning::numpy_scalar},
    {"numpy._core.multiarray.scalar", Meaning::numpy_scalar},
    {"numpy.dtype", Meaning::numpy_dtype},
    {"numpy.core.multiarray._reconstruct", Meaning::numpy_array},
    {"numpy._core.multiarray._reconstruct", Meaning::numpy_array},
    {"copyreg._reconstructor", Meaning::reconstructor},
    {"torch._utils._rebuild_sparse_tensor", Meaning::unsupported},
    {"torch._utils._rebuild_sparse_csr_tensor", Meaning::unsupported},
    {"torch._utils._rebuild_qtensor", Meaning::unsupported},
    {"torch._utils._rebuild_meta_tensor_no_storage", Meaning::unsupported},
    {"torch._utils._rebuild_wrapper_subclass", Meaning::unsupported},
};

Meaning meaning_of(const std::string& name) {
  for (const Known& k : known)
    if (k.name == name) return k.meaning;
  return Meaning::unknown;
}

// Modules that act on the machine, and those that call what they are given. No weight file names them.
constexpr std::string_view acting[] = {"os",         "nt",         "posix",
                                       "sys",        "subprocess", "commands",
                                       "popen2",     "pty",        "shutil",
                                       "socket",     "importlib",  "imp",
                                       "runpy",      "code",       "codeop",
                                       "ctypes",     "pickle",     "_pickle",
                                       "cPickle",    "marshal",    "operator",
                                       "_operator",  "functools",  "timeit",
                                       "pdb",        "bdb",        "cProfile",
                                       "profile",    "trace",      "asyncio",
                                       "signal",     "threading",  "multiprocessing",
                                       "http",       "urllib",     "webbrowser",
                                       "requests",   "ftplib",     "smtplib",
                                       "tempfile",   "pip",        "types",
                                       "inspect",    "atexit",     "site",
                                       "setuptools", "pkgutil",    "zipimport",
                                       "sysconfig",  "platform",   "pydoc",
                                       "doctest",    "linecache"};

void expect_count(const Site& site, const Value& callee, const Value& arguments, std::size_t least, std::size_t most) {
  if (arguments.items.size() < least || arguments.items.size() > most)
    site.refuse(str(printable(callee.text), " with ", arguments.items.size(), " arguments"));
}

Value* tensor_call(const Site& site, const Value& arguments, Scalar type) {
  const Value& storage = site.expect(arguments.items[0], Kind::storage, "the storage");
  return make_tensor(site, storage.storage, type, *arguments.items[1], *arguments.items[2], *arguments.items[3]);
}

Value* ordered(const Site& site, const Value& arguments) {
  Value* v = site.make(Kind::dict);
  v->ordered = true;
  if (arguments.items.empty()) return v;
  for (const Value* pair : sequence(site, arguments.items[0], "the pairs").items) {
    if ((pair->kind != Kind::tuple && pair->kind != Kind::list) || pair->items.size() != 2)
      site.refuse(str("a pair is ", describe(*pair)));
    if (!hashable(*pair->items[0])) site.refuse(str("a key is ", describe(*pair->items[0])));
    for (Value* item : pair->items) site.append(*v, item);
  }
  return v;
}

Value* opaque(const Site& site, Value* type, Value* arguments) {
  Value* v = site.make(Kind::object);
  v->type = type;
  for (Value* item : arguments->items) site.append(*v, item);
  if (type->text != "argparse.Namespace")
    site.values.warn("holds an object of class " + printable(type->text) + ", which is not looked into");
  return v;
}

Value* copied_dict(const Site& site, const Value& from) {
  Value* v = site.make(Kind::dict);
  for (Value* item : site.expect(&from, Kind::dict, "the contents").items) site.append(*v, item);
  return v;
}

}  // namespace

std::string checked_name(const Site& site, const std::string& module, const std::string& name) {
  if (module.empty() || name.empty() || !valid_utf8(module) || !valid_utf8(name)) site.refuse("a name without text");
  std::string where = module;
  if (where == "__builtin__") where = "builtins";
  if (where == "copy_reg") where = "copyreg";
  const std::string full = where + "." + name, first = where.substr(0, where.find('.'));
  const bool acts = std::find(std::begin(acting), std::end(acting), first) != std::end(acting);
  // Of the built-ins only types; what is called must stand in the list of known calls anyway.
  static constexpr std::array<std::string_view, 18> types{
      "set",  "frozenset", "bytearray", "complex", "object", "dict",  "list",    "tuple", "int",
      "long", "float",     "bool",      "str",     "bytes",  "range", "unicode", "slice", "basestring"};
  const bool builtin = first == "builtins" && std::find(types.begin(), types.end(), name) == types.end();
  if (acts || builtin)
    site.refuse(
        "names '" + printable(full) +
        "', which could act on the machine and has no place in a weight file: do not open it with anything else");
  return full;
}

bool hashable(const Value& v) {
  switch (v.kind) {
    case Kind::list:
    case Kind::dict:
    case Kind::set:
    case Kind::storage:
    case Kind::tensor:
    case Kind::object:
      return false;
    default:
      return true;
  }
}

Value* make_tensor(const Site& site, const std::shared_ptr<Storage>& storage, Scalar type, const Value& offset,
                   const Value& size, const Value& stride) {
  const Value& sizes = sequence(site, &size, "the size");
  const Value& strides = sequence(site, &stride, "the stride");
  if (sizes.items.size() != strides.items.size() || sizes.items.size() > 64)
    site.refuse(str("a tensor of ", sizes.items.size(), " sizes and ", strides.items.size(), " strides"));
  if (!site.values.budget.charge(sizeof(TensorInfo) + 16 * sizes.items.size())) site.out_of_budget();
  auto t = std::make_shared<TensorInfo>();
  t->type = type;
  t->storage = storage;
  t->offset = integer_of(site, &offset, "the offset");
  const std::int64_t element = static_cast<std::int64_t>(size_of(type));
  std::int64_t total = element, last = t->offset;
  bool overflow = t->offset < 0, empty = false;
  for (std::size_t i = 0; i < sizes.items.size(); ++i) {
    const std::int64_t n = integer_of(site, sizes.items[i], "a size");
    const std::int64_t step = integer_of(site, strides.items[i], "a stride");
    if (n < 0 || step < 0) site.refuse(str("a tensor with size ", n, " and stride ", step));
    t->shape.push_back(n);
    t->stride.push_back(step);
    empty |= n == 0;
    std::int64_t reach = 0;
    overflow |= __builtin_mul_overflow(total, n == 0 ? 1 : n, &total);
    overflow |= n > 0 && (__builtin_mul_overflow(n - 1, step, &reach) || __builtin_add_overflow(last, reach, &last));
  }
  std::int64_t end = 0;
  overflow |= __builtin_add_overflow(last, 1, &end) || __builtin_mul_overflow(end, element, &end);
  if (overflow) site.refuse("a tensor whose sizes, strides or offset overflow or are negative");
  if (!empty && static_cast<std::uint64_t>(end) > storage->bytes)
    site.refuse(str("a tensor that reaches to byte ", end, " of storage '", printable(storage->key), "', which has ",
                    storage->bytes));
  Value* v = site.make(Kind::tensor);
  v->tensor = std::move(t);
  return v;
}

Value* call(const Site& site, const Value& callee, Value* argument) {
  site.expect(&callee, Kind::global, "the function");
  const Value& a = site.expect(argument, Kind::tuple, "the arguments");
  const auto count = [&](std::size_t least, std::size_t most) { expect_count(site, callee, a, least, most); };
  const auto tensor = [&](const Value* v) -> Value* {
    if (v->kind != Kind::tensor || !v->tensor) site.refuse("the data is " + describe(*v) + ", expected a tensor");
    return const_cast<Value*>(v);
  };
  switch (meaning_of(callee.text)) {
    case Meaning::ordered_dict:
      count(0, 1);
      return ordered(site, a);
    case Meaning::dict_of_class:
      count(0, 2);
      return a.items.size() == 2 ? copied_dict(site, *a.items[1]) : site.make(Kind::dict);
    case Meaning::dict_of_pairs:
      count(0, 1);
      return a.items.empty() ? site.make(Kind::dict) : copied_dict(site, *a.items[0]);
    case Meaning::set: {
      count(0, 1);
      Value* v = site.make(Kind::set);
      if (a.items.empty()) return v;
      for (Value* item : sequence(site, a.items[0], "the members").items) {
        if (!hashable(*item)) site.refuse("a set of " + describe(*item));
        site.append(*v, item);
      }
      return v;
    }
    case Meaning::bytearray:
    case Meaning::encode: {
      count(1, 2);
      if (a.items.size() == 2) {
        const std::string& coding = site.expect(a.items[1], Kind::text, "the encoding").text;
        if (coding != "latin1" && coding != "latin-1") site.refuse("encoding '" + printable(coding) + "'");
      }
      Value* v = site.make(Kind::bytes);
      v->text = bytes_of(site, a.items[0], true);
      return v;
    }
    case Meaning::complex:
    case Meaning::layout: {
      count(1, 2);
      Value* v = site.make(Kind::text);
      for (const Value* item : a.items) v->text += (v->text.empty() ? "" : " ") + describe(*item);
      if (!site.values.budget.charge(v->text.size())) site.out_of_budget();
      return v;
    }
    case Meaning::device: {
      count(1, 2);
      Value* v = site.make(Kind::text);
      v->text = printable(site.expect(a.items[0], Kind::text, "the device").text);
      if (a.items.size() == 2) v->text += str(":", integer_of(site, a.items[1], "the device's number"));
      return v;
    }
    case Meaning::size:
      count(1, 1);
      sequence(site, a.items[0], "the size");
      return a.items[0];
    case Meaning::tensor_v1:
    case Meaning::tensor_v2: {
      count(4, 7);
      const Value& s = site.expect(a.items[0], Kind::storage, "the storage");
      return tensor_call(site, a, s.storage->type);
    }
    case Meaning::tensor_v3: {
      count(7, 8);
      const std::string& name = site.expect(a.items[6], Kind::global, "the dtype").text;
      const auto type = name.starts_with("torch.") ? scalar_of_torch(name.substr(6)) : std::nullopt;
      if (!type) site.refuse("dtype '" + printable(name) + "' is not supported");
      return tensor_call(site, a, *type);
    }
    case Meaning::tensor_from_type: {
      count(4, 4);
      const Value& inner = site.expect(a.items[0], Kind::global, "the function");
      const Meaning m = meaning_of(inner.text);
      if (m != Meaning::tensor_v2 && m != Meaning::tensor_v3) site.refuse("a tensor by " + printable(inner.text));
      return call(site, inner, a.items[2]);
    }
    case Meaning::parameter:
      count(3, 3);
      return tensor(a.items[0]);
    case Meaning::parameter_with_state:
      count(4, 4);
      return tensor(a.items[0]);
    case Meaning::numpy_dtype:
      count(1, 3);
      return numpy_dtype(site, a);
    case Meaning::numpy_scalar:
      count(2, 2);
      return numpy_scalar(site, a);
    case Meaning::numpy_array: {
      count(3, 3);
      Value* v = site.make(Kind::tensor);
      v->text = "array";
      return v;
    }
    case Meaning::reconstructor:
      count(3, 3);
      if (a.items[0]->kind != Kind::global || meaning_of(a.items[0]->text) != Meaning::unknown ||
          a.items[1]->kind != Kind::global || a.items[1]->text != "builtins.object" || a.items[2]->kind != Kind::none)
        site.refuse("an object rebuilt from more than its class");
      return opaque(site, a.items[0], site.make(Kind::tuple));
    case Meaning::unsupported:
      site.refuse(printable(callee.text) +
                  ": sparse, quantised and wrapped tensors are not supported; save dense ones");
    default:
      site.refuse("calls '" + printable(callee.text) +
                  "', which PyTorch's own files do not; save a state_dict of tensors instead");
  }
}

Value* construct(const Site& site, Value* type, Value* argument) {
  site.expect(type, Kind::global, "the class");
  const Value& a = site.expect(argument, Kind::tuple, "the arguments");
  switch (meaning_of(type->text)) {
    case Meaning::parameter_class: {
      // PyTorch 0.1: an empty Parameter that BUILD fills.
      expect_count(site, *type, a, 0, 0);
      Value* v = site.make(Kind::tensor);
      v->text = "Parameter";
      return v;
    }
    case Meaning::ordered_dict:
    case Meaning::dict_of_pairs:
    case Meaning::dict_of_class:
    case Meaning::size:
      return call(site, *type, argument);
    case Meaning::unknown:
      return opaque(site, type, argument);
    default:
      site.refuse(printable(type->text) + " is not a class");
  }
}

void set_state(const Site& site, Value& object, Value* state) {
  switch (object.kind) {
    case Kind::dict:  // attributes: a state_dict's _metadata
      site.expect(state, Kind::dict, "the attributes");
      object.state = state;
      return;
    case Kind::tensor: {
      if (object.tensor) site.refuse("a tensor is built twice");
      const Value& s = site.expect(state, Kind::tuple, "the state");
      if (object.text == "array") return fill_array(site, object, s);
      // (data, None, None, requires_grad, volatile)
      if (s.items.size() != 5 || s.items[0]->kind != Kind::tensor || !s.items[0]->tensor)
        site.refuse("a Parameter of " + describe(s));
      object.tensor = s.items[0]->tensor;
      return;
    }
    case Kind::object:
      if (!object.type) {  // a numpy dtype: (3, '<', ...)
        const Value& s = site.expect(state, Kind::tuple, "the dtype's state");
        if (s.items.size() < 2 || s.items[1]->kind != Kind::text ||
            (s.items[1]->text != "<" && s.items[1]->text != "|"))
          site.refuse("numpy data that are not little-endian");
        return;
      }
      object.state = state;
      return;
    default:
      site.refuse("the target is " + describe(object));
  }
}

}  // namespace pen::torch
