// Options from JSON files, and to them. Types are checked: a text where a number belongs is an error.
#include <cmath>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/options.h"

namespace pen {
namespace {

const char* type_name(const rapidjson::Value& value) {
  switch (value.GetType()) {
    case rapidjson::kNullType:
      return "null";
    case rapidjson::kFalseType:
    case rapidjson::kTrueType:
      return "a boolean";
    case rapidjson::kObjectType:
      return "an object";
    case rapidjson::kArrayType:
      return "a list";
    case rapidjson::kStringType:
      return "a text";
    case rapidjson::kNumberType:
      return "a number";
  }
  return "?";
}

const char* expected(OptionType type) {
  switch (type) {
    case OptionType::boolean:
      return "true or false";
    case OptionType::integer:
      return "a whole number";
    case OptionType::number:
      return "a number";
    case OptionType::maybe_number:
      return "a number or null";
    case OptionType::text:
      return "a text";
    case OptionType::integers:
      return "a list of whole numbers";
    case OptionType::texts:
      return "a list of texts";
  }
  return "?";
}

// A JSON number in the form that set_text parses back to the same value.
std::string number_text(const rapidjson::Value& value) {
  if (value.IsInt64()) return std::to_string(value.GetInt64());
  if (value.IsUint64()) return std::to_string(value.GetUint64());
  const double number = value.GetDouble();
  return std::isfinite(number) ? JsonWriter().value(number).text() : str(number);
}

void set_value(OptionValues& values, const Option& option, const rapidjson::Value& value, const Origin& origin) {
  const auto wrong = [&](const rapidjson::Value& found) {
    fail(ErrorKind::usage,
         str("'", origin.file, "': ", option.name, " has to be ", expected(option.type), ", found ", type_name(found),
             found.IsString() ? str(" \"", found.GetString(), "\"") : std::string{}));
  };
  switch (option.type) {
    case OptionType::boolean:
      // 0 and 1 as well: the reference declares some of its switches as integers
      if (value.IsBool())
        values.set_text(option, value.GetBool() ? "true" : "false", origin);
      else if (value.IsInt() && (value.GetInt() == 0 || value.GetInt() == 1))
        values.set_text(option, value.GetInt() == 1 ? "true" : "false", origin);
      else
        wrong(value);
      return;
    case OptionType::integer:
    case OptionType::number:
      if (!value.IsNumber()) wrong(value);
      values.set_text(option, number_text(value), origin);
      return;
    case OptionType::maybe_number:
      if (!value.IsNumber() && !value.IsNull()) wrong(value);
      values.set_text(option, value.IsNull() ? "none" : number_text(value), origin);
      return;
    case OptionType::text:
      if (value.IsNull() && option.nullable) return values.set_text(option, "", origin);
      if (!value.IsString()) wrong(value);
      values.set_text(option, {value.GetString(), value.GetStringLength()}, origin);
      return;
    case OptionType::integers: {
      // the reference writes its lists as texts: "3,4"
      if (value.IsString()) return values.set_text(option, value.GetString(), origin);
      if (!value.IsArray()) wrong(value);
      std::string list;
      for (const auto& item : value.GetArray()) {
        if (!item.IsNumber()) wrong(item);
        if (!list.empty()) list += ',';
        list += number_text(item);
      }
      return values.set_text(option, list, origin);
    }
    case OptionType::texts:
      if (!value.IsArray()) wrong(value);
      for (const auto& item : value.GetArray()) {
        if (!item.IsString()) wrong(item);
        values.set_text(option, item.GetString(), origin);
      }
      return;
  }
}

void write_value(JsonWriter& out, const Option& option, const void* object) {
  void* const at = option.locate(const_cast<void*>(object));
  switch (option.type) {
    case OptionType::boolean:
      out.value(*static_cast<const bool*>(at));
      return;
    case OptionType::integer:
      out.value(*static_cast<const std::int64_t*>(at));
      return;
    case OptionType::number:
      out.value(*static_cast<const double*>(at));
      return;
    case OptionType::maybe_number: {
      const auto& value = *static_cast<const std::optional<double>*>(at);
      value ? out.value(*value) : out.null();
      return;
    }
    case OptionType::text: {
      const auto& value = *static_cast<const std::string*>(at);
      option.nullable&& value.empty() ? out.null() : out.value(value);
      return;
    }
    case OptionType::integers:
      out.value(*static_cast<const std::vector<std::int64_t>*>(at));
      return;
    case OptionType::texts:
      out.value(*static_cast<const std::vector<std::string>*>(at));
      return;
  }
}

}  // namespace

void OptionValues::read_json(std::string_view text, const std::string& name) {
  const rapidjson::Document document = parse_json(text, name, ErrorKind::usage);
  PEN_CHECK_AS(usage, document.IsObject(), "'", name, "': options are one JSON object {\"name\": value, ...}, found ",
               type_name(document));
  std::set<const Option*> seen;
  for (const auto& member : document.GetObject()) {
    const std::string key(member.name.GetString(), member.name.GetStringLength());
    const Option* option = table_->find(key);
    if (!option)
      fail(ErrorKind::usage, str("'", name, "': unknown option '", key, "'"), did_you_mean(key, table_->names()));
    PEN_CHECK_AS(usage, seen.insert(option).second, "'", name, "': ", option->name, " is there twice");
    if (option->ignored) continue;
    PEN_CHECK_AS(usage, !option->transient, "'", name, "': ", option->name,
                 " concerns one call and can only be given on the command line");
    set_value(*this, *option, member.value, {OptionSource::file, name});
  }
}

void OptionValues::read_json_file(const std::string& path) {
  const std::vector<std::uint8_t> bytes = read_file(path, 1 << 20, ErrorKind::usage);
  read_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

std::string value_as_json(const Option& option, const void* object) {
  JsonWriter out;
  write_value(out, option, object);
  return out.text();
}

std::string to_json(const OptionTable& table, const void* object, bool pretty) {
  JsonWriter out(pretty);
  out.begin_object();
  for (const Option& option : table.options()) {
    if (option.transient || option.ignored) continue;
    out.key(option.name);
    write_value(out, option, object);
  }
  out.end_object();
  return out.text();
}

}  // namespace pen
