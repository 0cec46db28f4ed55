#include "base/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/nearest.h"
#include "base/words.h"

namespace pen {
namespace {

std::string canonical(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

template <class T>
T& field(const Option& option, void* object) {
  return *static_cast<T*>(option.locate(object));
}

// How messages call an option: "--lr" when it came from the command line, "'fix.json': lr" from a file.
std::string where(const Option& option, const Origin& origin) {
  if (origin.source == OptionSource::file) return str("'", origin.file, "': ", option.name);
  return (option.positional ? "" : "--") + option.name;
}

std::string shown(double value) { return fmt::format("{}", value); }

void check_bounds(const Option& option, double value, const Origin& origin) {
  const bool low = option.least_excluded ? !(value > option.least) : !(value >= option.least);
  if (!low && value <= option.most) return;
  std::string allowed;
  if (std::isfinite(option.least) && std::isfinite(option.most))
    allowed = str(option.least_excluded ? "above " : "between ", shown(option.least),
                  option.least_excluded ? " and at most " : " and ", shown(option.most));
  else if (std::isfinite(option.least))
    allowed = str(option.least_excluded ? "above " : "at least ", shown(option.least));
  else
    allowed = str("at most ", shown(option.most));
  fail(ErrorKind::usage, str(where(option, origin), ": ", shown(value), " is out of bounds, it has to be ", allowed));
}

double parse_number(const Option& option, std::string_view text, const Origin& origin) {
  double value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value))
    fail(ErrorKind::usage, str(where(option, origin), ": '", text, "' is not a number"));
  check_bounds(option, value, origin);
  return value;
}

std::int64_t whole(const Option& option, double value, const Origin& origin) {
  // 1e8 is a whole number too; beyond 2^53 a double no longer says which
  if (value != std::floor(value) || std::abs(value) > 9007199254740992.0)
    fail(ErrorKind::usage, str(where(option, origin), ": ", shown(value), " is not a whole number"));
  return static_cast<std::int64_t>(value);
}

std::int64_t parse_integer(const Option& option, std::string_view text, const Origin& origin) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) {
    check_bounds(option, static_cast<double>(value), origin);
    return value;
  }
  double number = 0;
  const auto [stop, trouble] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (trouble != std::errc{} || stop != text.data() + text.size() || !std::isfinite(number))
    fail(ErrorKind::usage, str(where(option, origin), ": '", text, "' is not a whole number"));
  value = whole(option, number, origin);
  check_bounds(option, number, origin);
  return value;
}

bool parse_boolean(const Option& option, const std::string& text, const Origin& origin) {
  if (text == "true" || text == "1" || text == "True" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "False" || text == "no" || text == "off") return false;
  fail(ErrorKind::usage, str(where(option, origin), ": '", text, "' is neither true nor false"));
}

std::vector<std::int64_t> parse_integers(const Option& option, std::string_view text, const Origin& origin) {
  std::vector<std::int64_t> values;
  if (text.empty()) return values;
  for (const std::string_view item : comma_items(text)) values.push_back(parse_integer(option, item, origin));
  return values;
}

}  // namespace

std::string describe(const Origin& origin) {
  std::string out;
  switch (origin.source) {
    case OptionSource::fallback:
      out = "default";
      break;
    case OptionSource::preset:
      out = "preset";
      break;
    case OptionSource::file:
      out = "file " + origin.file;
      break;
    case OptionSource::command_line:
      out = "command line";
      break;
  }
  return origin.via.empty() ? out : str(out, " (", origin.via, ")");
}

Option& Option::one_of(std::vector<std::string> list) { return choices = std::move(list), value_name = "NAME", *this; }
Option& Option::at_least(double value) { return least = value, *this; }
Option& Option::above(double value) { return least = value, least_excluded = true, *this; }
Option& Option::between(double low, double high) { return least = low, most = high, *this; }
Option& Option::placeholder(const std::string& word) { return value_name = word, *this; }
Option& Option::also(const std::string& other_name) { return aliases.push_back(other_name), *this; }
Option& Option::short_form(char c) { return letter = c, *this; }
Option& Option::must_be_given() { return required = true, *this; }
Option& Option::by_place() { return positional = true, *this; }
Option& Option::or_none() { return nullable = true, *this; }
Option& Option::of_this_call() { return transient = true, *this; }
Option& Option::changes_on_resume() { return resumable = true, *this; }

Option& OptionTable::append(const std::string& name, OptionType type, const std::string& doc,
                            std::function<void*(void*)> locate) {
  PEN_CHECK(find(name) == nullptr, "option table: '", name, "' is there twice");
  Option option;
  option.name = name;
  option.doc = doc;
  option.group = group_;
  option.type = type;
  option.locate = std::move(locate);
  if (type == OptionType::integer) option.value_name = "N";
  if (type == OptionType::number || type == OptionType::maybe_number) option.value_name = "X";
  if (type == OptionType::integers) option.value_name = "N,N,...";
  if (type == OptionType::text || type == OptionType::texts) option.value_name = "TEXT";
  options_.push_back(std::move(option));
  return options_.back();
}

void OptionTable::ignore(const std::string& name, const std::string& doc) {
  Option& option = append(name, OptionType::text, doc, nullptr);
  option.ignored = option.transient = true;
}

const Option* OptionTable::find(std::string_view name) const {
  const std::string wanted = canonical(name);
  for (const Option& option : options_)
    if (option.name == wanted || std::count(option.aliases.begin(), option.aliases.end(), wanted) > 0) return &option;
  return nullptr;
}

const Option& OptionTable::at(std::string_view name) const {
  const Option* option = find(name);
  PEN_CHECK(option != nullptr, "option table: there is no option '", name, "'");
  return *option;
}

std::vector<std::string> OptionTable::names() const {
  std::vector<std::string> out;
  for (const Option& option : options_) {
    if (option.positional || option.ignored) continue;
    out.push_back(option.name);
    out.insert(out.end(), option.aliases.begin(), option.aliases.end());
  }
  return out;
}

std::string format_value(const Option& option, const void* object) {
  if (option.ignored) return "none";
  void* const source = const_cast<void*>(object);  // locate() serves reading and writing
  switch (option.type) {
    case OptionType::boolean:
      return field<bool>(option, source) ? "true" : "false";
    case OptionType::integer:
      return std::to_string(field<std::int64_t>(option, source));
    case OptionType::number:
      return shown(field<double>(option, source));
    case OptionType::maybe_number: {
      const auto& value = field<std::optional<double>>(option, source);
      return value ? shown(*value) : "none";
    }
    case OptionType::text: {
      const auto& value = field<std::string>(option, source);
      return value.empty() ? "none" : value;
    }
    case OptionType::integers:
      return fmt::format("{}", fmt::join(field<std::vector<std::int64_t>>(option, source), ","));
    case OptionType::texts: {
      const auto& value = field<std::vector<std::string>>(option, source);
      return value.empty() ? "none" : fmt::format("{}", fmt::join(value, " "));
    }
  }
  return {};
}

OptionValues::OptionValues(const OptionTable& table, void* object)
    : table_(&table), object_(object), origins_(table.options().size()), defaults_(table.defaults()) {}

std::size_t OptionValues::index_of(std::string_view name) const {
  return static_cast<std::size_t>(&table_->at(name) - table_->options().data());
}

Origin& OptionValues::origin_of(std::string_view name) { return origins_[index_of(name)]; }
const Origin& OptionValues::origin(std::string_view name) const { return origins_[index_of(name)]; }

bool OptionValues::is_default_value(std::string_view name) const {
  const Option& option = table_->at(name);
  return format_value(option, object_) == format_value(option, defaults_.get());
}

void OptionValues::set_text(const Option& option, const std::string& text, const Origin& origin) {
  origin_of(option.name) = origin;
  if (option.ignored) return;
  switch (option.type) {
    case OptionType::boolean:
      field<bool>(option, object_) = parse_boolean(option, text, origin);
      break;
    case OptionType::integer:
      field<std::int64_t>(option, object_) = parse_integer(option, text, origin);
      break;
    case OptionType::number:
      field<double>(option, object_) = parse_number(option, text, origin);
      break;
    case OptionType::maybe_number: {
      auto& value = field<std::optional<double>>(option, object_);
      const bool none = text == "none" || text == "None";
      value = none ? std::nullopt : std::optional(parse_number(option, text, origin));
      break;
    }
    case OptionType::text: {
      const bool none = option.nullable && (text.empty() || text == "none" || text == "None");
      if (!none && !option.choices.empty() &&
          std::find(option.choices.begin(), option.choices.end(), text) == option.choices.end())
        fail(ErrorKind::usage,
             str(where(option, origin), ": '", text, "' is not one of ",
                 fmt::format("{}", fmt::join(option.choices, ", ")), option.nullable ? ", none" : ""),
             did_you_mean(text, option.choices));
      // an unset shell variable, most likely
      PEN_CHECK_AS(usage, none || !text.empty(), where(option, origin), ": its value is empty");
      field<std::string>(option, object_) = none ? "" : text;
      break;
    }
    case OptionType::integers:
      field<std::vector<std::int64_t>>(option, object_) = parse_integers(option, text, origin);
      break;
    case OptionType::texts:
      field<std::vector<std::string>>(option, object_).push_back(text);
      break;
  }
}

void OptionValues::check_required(const std::string& before) const {
  for (std::size_t i = 0; i < origins_.size(); ++i) {
    const Option& option = table_->options()[i];
    if (!option.required || origins_[i].source != OptionSource::fallback) continue;
    fail(ErrorKind::usage, str(option.positional ? "" : before, option.name, " is missing: ", option.doc));
  }
}

void check_resumed(const OptionTable& table, const void* saved, const void* now, const std::string& saved_path) {
  for (const Option& option : table.options()) {
    if (option.transient || option.ignored || option.resumable) continue;
    const std::string before = format_value(option, saved), after = format_value(option, now);
    if (before == after) continue;
    fail(ErrorKind::usage,
         str("--resume: the run was started with ", option.name, " ", before, " ('", saved_path, "'), not ", after),
         str("leave --", option.name, " out, or start a new run under another --name"));
  }
}

}  // namespace pen
