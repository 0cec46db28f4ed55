#include "models/torch/pickle.h"

#include <bit>
#include <charconv>
#include <unordered_map>

#include "models/torch/pickle_objects.h"
#include "models/torch/text.h"

namespace pen::torch {
namespace {

constexpr std::size_t longest_line = 4096;
constexpr std::uint64_t longest_integer = 1024;  // bytes

class Machine {
 public:
  Machine(Cursor& cursor, Values& values, const PersistentLoad& load)
      : in_(cursor), values_(values), load_(load), site_{cursor, values, 0, ""} {}

  Value* run() {
    for (;;) {
      site_.at = in_.at();
      site_.opcode = "opcode";
      const std::uint8_t code = in_.u8();
      if (code == '.') break;
      if (!structure(code) && !leaf(code) && !object(code))
        site_.refuse("'" + printable({reinterpret_cast<const char*>(&code), 1}) + "' does not occur in weight files");
    }
    site_.opcode = "STOP";
    if (!marks_.empty() || stack_.size() != 1)
      site_.refuse(str(stack_.size(), " values and ", marks_.size(), " open marks are left, expected one value"));
    return stack_.back();
  }

 private:
  // ---- the stack. A value below the last mark is out of reach.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value* pop() {
    Value* v = top();
    stack_.pop_back();
    return v;
  }
  Value* top() {
    if (stack_.size() <= floor()) site_.refuse("the stack is empty");
    return stack_.back();
  }
  void push(Value* v) {
    if (!values_.push(stack_, v)) site_.out_of_budget();
  }
  // The values since the last mark, which is closed; they stay on the stack until drop().
  std::span<Value* const> since_mark() {
    if (marks_.empty()) site_.refuse("there is no mark");
    return {stack_.data() + marks_.back(), stack_.size() - marks_.back()};
  }
  void drop() {
    stack_.resize(marks_.back());
    marks_.pop_back();
  }

  Value* gather(Kind kind, std::span<Value* const> items) {
    Value* v = site_.make(kind);
    for (Value* item : items) site_.append(*v, item);
    return v;
  }
  void set_items(Value& dict, std::span<Value* const> items) {
    site_.expect(&dict, Kind::dict, "the target");
    if (items.size() % 2 != 0) site_.refuse("a key without a value");
    for (std::size_t i = 0; i < items.size(); i += 2)
      if (!hashable(*items[i])) site_.refuse(str("a key is ", describe(*items[i])));
    for (Value* item : items) site_.append(dict, item);
  }
  void add_items(Value& to, Kind kind, std::span<Value* const> items) {
    site_.expect(&to, kind, "the target");
    for (Value* item : items) {
      if (kind == Kind::set && !hashable(*item)) site_.refuse(str("a set of ", describe(*item)));
      site_.append(to, item);
    }
  }

  // ---- the memo
  void put(std::uint64_t id) {
    Value* v = top();
    constexpr std::uint64_t node = 64;  // bytes of a map's node and bucket
    const auto [it, is_new] = memo_.try_emplace(id, v);
    if (is_new && !values_.budget.charge(node)) site_.out_of_budget();
    it->second = v;
  }
  void get(std::uint64_t id) {
    const auto it = memo_.find(id);
    if (it == memo_.end()) site_.refuse(str("id ", id, " was never stored"));
    push(it->second);
  }

  bool structure(std::uint8_t code);
  bool leaf(std::uint8_t code);
  bool object(std::uint8_t code);

  // ---- leaves
  void integer(std::int64_t value) {
    Value* v = site_.make(Kind::integer);
    v->integer = value;
    push(v);
  }
  // A text of n bytes, with what its memory block adds.
  void charge(std::uint64_t n) {
    if (!values_.budget.charge(n + 16)) site_.out_of_budget();
  }
  std::string raw(std::uint64_t n, const char* what) {
    in_.need(n, what);
    charge(n);
    std::string out(n, '\0');
    in_.bytes(out.data(), n);
    return out;
  }
  void text(std::string value, bool bytes_if_broken = false) {
    const bool valid = valid_utf8(value);
    if (!valid && !bytes_if_broken) site_.refuse("a text that is not UTF-8");
    Value* v = site_.make(valid ? Kind::text : Kind::bytes);
    v->text = std::move(value);
    push(v);
  }
  void bytes(std::uint64_t n) {
    Value* v = site_.make(Kind::bytes);
    v->text = raw(n, "a byte string");
    push(v);
  }
  void long_integer(std::uint64_t n) {
    if (n > longest_integer) site_.refuse(str("an integer of ", n, " bytes"));
    const std::string digits = raw(n, "an integer");
    if (n > 8) {
      charge(3 * n + 16);
      Value* v = site_.make(Kind::big_integer);
      v->text = decimal_of(digits);
      push(v);
      return;
    }
    std::uint64_t bits = n > 0 && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
    for (std::size_t i = digits.size(); i-- > 0;) bits = bits << 8 | static_cast<std::uint8_t>(digits[i]);
    integer(static_cast<std::int64_t>(bits));
  }
  void decimal_integer(std::string line, bool may_be_bool) {
    if (may_be_bool && (line == "00" || line == "01")) return push(values_.boolean(line == "01"));
    if (!line.empty() && line.back() == 'L') line.pop_back();
    std::int64_t value = 0;
    const auto end = std::from_chars(line.data(), line.data() + line.size(), value);
    if (end.ec == std::errc() && end.ptr == line.data() + line.size()) return integer(value);
    const std::size_t first = !line.empty() && line[0] == '-' ? 1 : 0;
    if (line.size() == first || line.find_first_not_of("0123456789", first) != std::string::npos)
      site_.refuse(str("'", printable(line), "' is no integer"));
    Value* v = site_.make(Kind::big_integer);
    charge(line.capacity());
    v->text = std::move(line);
    push(v);
  }
  void real(double value) {
    Value* v = site_.make(Kind::real);
    v->real = value;
    push(v);
  }

  Cursor& in_;
  Values& values_;
  const PersistentLoad& load_;
  Site site_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value*> memo_;
};

// Marks, containers and the memo.
bool Machine::structure(std::uint8_t code) {
  const auto named = [&](const char* name) { site_.opcode = name; };
  switch (code) {
    case '(':
      named("MARK");
      if (!values_.push(marks_, stack_.size())) site_.out_of_budget();
      return true;
    case '0':
      named("POP");
      return pop(), true;
    case '2':
      named("DUP");
      return push(top()), true;
    case '}':
      named("EMPTY_DICT");
      return push(site_.make(Kind::dict)), true;
    case ']':
      named("EMPTY_LIST");
      return push(site_.make(Kind::list)), true;
    case ')':
      named("EMPTY_TUPLE");
      return push(site_.make(Kind::tuple)), true;
    case 0x8f:
      named("EMPTY_SET");
      return push(site_.make(Kind::set)), true;
    case 'd': {
      named("DICT");
      const auto items = since_mark();
      Value* v = site_.make(Kind::dict);
      set_items(*v, items);
      drop();
      return push(v), true;
    }
    case 'l':
    case 't':
    case 0x91: {
      named(code == 'l' ? "LIST" : code == 't' ? "TUPLE" : "FROZENSET");
      Value* v = gather(code == 'l' ? Kind::list : code == 't' ? Kind::tuple : Kind::set, since_mark());
      drop();
      return push(v), true;
    }
    case 0x85:
    case 0x86:
    case 0x87: {
      named("TUPLE1..3");
      const std::size_t n = code - 0x84u;
      if (stack_.size() < floor() + n) site_.refuse("the stack is empty");
      Value* v = gather(Kind::tuple, {stack_.data() + stack_.size() - n, n});
      stack_.resize(stack_.size() - n);
      return push(v), true;
    }
    case 's': {
      named("SETITEM");
      Value* pair[2];
      pair[1] = pop();
      pair[0] = pop();
      return set_items(*top(), pair), true;
    }
    case 'u':
    case 'e':
    case 0x90: {
      named(code == 'u' ? "SETITEMS" : code == 'e' ? "APPENDS" : "ADDITEMS");
      const auto items = since_mark();
      const std::size_t mark = marks_.back();
      const std::size_t below = marks_.size() > 1 ? marks_[marks_.size() - 2] : 0;
      if (mark <= below) site_.refuse("the stack is empty");
      Value& target = *stack_[mark - 1];
      if (code == 'u')
        set_items(target, items);
      else
        add_items(target, code == 'e' ? Kind::list : Kind::set, items);
      return drop(), true;
    }
    case 'a': {
      named("APPEND");
      Value* item[1] = {pop()};
      return add_items(*top(), Kind::list, item), true;
    }
    case 'q':
      named("BINPUT");
      return put(in_.u8()), true;
    case 'r':
      named("LONG_BINPUT");
      return put(in_.little<std::uint32_t>()), true;
    case 0x94:
      named("MEMOIZE");
      return put(memo_.size()), true;
    case 'h':
      named("BINGET");
      return get(in_.u8()), true;
    case 'j':
      named("LONG_BINGET");
      return get(in_.little<std::uint32_t>()), true;
    default:
      return false;
  }
}

// Numbers and texts.
bool Machine::leaf(std::uint8_t code) {
  const auto named = [&](const char* name) { site_.opcode = name; };
  switch (code) {
    case 'N':
      return push(values_.none()), true;
    case 0x88:
    case 0x89:
      return push(values_.boolean(code == 0x88)), true;
    case 'J':
      named("BININT");
      return integer(in_.little<std::int32_t>()), true;
    case 'K':
      named("BININT1");
      return integer(in_.u8()), true;
    case 'M':
      named("BININT2");
      return integer(in_.little<std::uint16_t>()), true;
    case 'I':
      named("INT");
      return decimal_integer(in_.line(longest_line), true), true;
    case 'L':
      named("LONG");
      return decimal_integer(in_.line(longest_line), false), true;
    case 0x8a:
      named("LONG1");
      return long_integer(in_.u8()), true;
    case 0x8b: {
      named("LONG4");
      const auto n = in_.little<std::int32_t>();
      if (n < 0) site_.refuse(str("an integer of ", n, " bytes"));
      return long_integer(static_cast<std::uint64_t>(n)), true;
    }
    case 'G': {
      named("BINFLOAT");
      std::uint64_t bits = 0;  // big-endian
      for (int i = 0; i < 8; ++i) bits = bits << 8 | in_.u8();
      return real(std::bit_cast<double>(bits)), true;
    }
    case 'F': {
      named("FLOAT");
      const std::string line = in_.line(longest_line);
      double value = 0;
      const auto end = std::from_chars(line.data(), line.data() + line.size(), value);
      if (end.ec != std::errc() || end.ptr != line.data() + line.size())
        site_.refuse(str("'", printable(line), "' is no number"));
      return real(value), true;
    }
    case 'X':
      named("BINUNICODE");
      return text(raw(in_.little<std::uint32_t>(), "a text")), true;
    case 0x8c:
      named("SHORT_BINUNICODE");
      return text(raw(in_.u8(), "a text")), true;
    case 0x8d:
      named("BINUNICODE8");
      return text(raw(in_.little<std::uint64_t>(), "a text")), true;
    case 'V':
    case 'S': {
      named(code == 'V' ? "UNICODE" : "STRING");
      std::string out;
      const std::string line = in_.line(longest_line);
      if (!(code == 'V' ? unescape_unicode(line, out) : unescape_quoted(line, out)))
        site_.refuse(str("'", printable(line), "' is no text"));
      charge(out.capacity());
      return text(std::move(out), code == 'S'), true;
    }
    case 'U':
      named("SHORT_BINSTRING");
      return text(raw(in_.u8(), "a text"), true), true;
    case 'T': {
      named("BINSTRING");
      const auto n = in_.little<std::int32_t>();
      if (n < 0) site_.refuse(str("a text of ", n, " bytes"));
      return text(raw(static_cast<std::uint64_t>(n), "a text"), true), true;
    }
    case 'B':
      named("BINBYTES");
      return bytes(in_.little<std::uint32_t>()), true;
    case 'C':
      named("SHORT_BINBYTES");
      return bytes(in_.u8()), true;
    default:
      return false;
  }
}

// Names, calls and what stands outside the pickle.
bool Machine::object(std::uint8_t code) {
  const auto named = [&](const char* name) { site_.opcode = name; };
  const auto global = [&](const std::string& module, const std::string& name) {
    Value* v = site_.make(Kind::global);
    v->text = checked_name(site_, module, name);
    charge(v->text.capacity());
    push(v);
  };
  switch (code) {
    case 0x80: {
      named("PROTO");
      const int version = in_.u8();
      if (version > 5) site_.refuse(str("protocol ", version, ", known are 0 to 5"));
      return true;
    }
    case 0x95:
      named("FRAME");
      in_.need(in_.little<std::uint64_t>(), "a frame");
      return true;
    case 'c': {
      named("GLOBAL");
      const std::string module = in_.line(longest_line);
      global(module, in_.line(longest_line));
      return true;
    }
    case 0x93: {
      named("STACK_GLOBAL");
      const Value* name = pop();
      const Value* module = pop();
      global(site_.expect(module, Kind::text, "the module").text, site_.expect(name, Kind::text, "the name").text);
      return true;
    }
    case 'R': {
      named("REDUCE");
      Value* arguments = pop();
      const Value* callee = pop();
      return push(call(site_, *callee, arguments)), true;
    }
    case 0x81: {
      named("NEWOBJ");
      Value* arguments = pop();
      return push(construct(site_, pop(), arguments)), true;
    }
    case 0x92: {
      named("NEWOBJ_EX");
      const Value* named_arguments = pop();
      Value* arguments = pop();
      if (!site_.expect(named_arguments, Kind::dict, "the named arguments").items.empty())
        site_.refuse("named arguments");
      return push(construct(site_, pop(), arguments)), true;
    }
    case 'b': {
      named("BUILD");
      Value* state = pop();
      return set_state(site_, *top(), state), true;
    }
    case 'Q': {
      named("BINPERSID");
      const Value* id = pop();
      return push(load_(*id, in_, site_.at)), true;
    }
    default:
      return false;
  }
}

}  // namespace

Value* unpickle(Cursor& cursor, Values& values, const PersistentLoad& load) {
  return Machine(cursor, values, load).run();
}

}  // namespace pen::torch
