#include "models/torch/pickle.h"

#include "models/torch/pickle_machine.h"

namespace pen::torch {

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

Value* unpickle(Cursor& cursor, Values& values, const PersistentLoad& load) {
  return Machine(cursor, values, load).run();
}

}  // namespace pen::torch
