// The stack machine that a pickle is a program for. Every opcode checks that the stack holds what it takes.
#pragma once

#include <charconv>
#include <span>
#include <unordered_map>

#include "models/torch/pickle_objects.h"
#include "models/torch/text.h"

namespace pen::torch {

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

}  // namespace pen::torch
