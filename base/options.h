// Options. Each is described once, in a table: name, type, default, bounds and documentation. The command line, JSON
// files, --print_config, --help, docs/options.md and shell completion are all made from that table.
//
//   struct FitOptions { double lr = 0.1; std::string arch = "resnet50"; };
//   OptionsOf<FitOptions> table;
//   table.group("Optimiser");
//   table.add("lr", &FitOptions::lr, "initial learning rate").above(0);
//   table.add("arch", &FitOptions::arch, "depth of the network").one_of({"resnet18", "resnet50"});
//   FitOptions options;
//   OptionValues values(table, &options);
//   values.set_text("lr", "0.05", {OptionSource::command_line});
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"

namespace pen {

enum class OptionType : std::uint8_t { boolean, integer, number, maybe_number, text, integers, texts };

// Where a value came from, lowest first: a later source wins over an earlier one.
enum class OptionSource : std::uint8_t { fallback, preset, file, command_line };

struct Origin {
  OptionSource source = OptionSource::fallback;
  std::string file = {};  // source file: its path
  std::string via = {};   // the option that set this one: lambda_tv sets mask_in_lambda_tv
};
std::string describe(const Origin& origin);  // "default", "command line", "file fix.json", "file fix.json (lambda_tv)"

// One option. The setters return the option, so that a table reads as a list.
struct Option {
  std::string name;  // with underscores, as in JSON; on the command line dashes do as well
  std::string doc, group;
  OptionType type = OptionType::text;
  std::string value_name;            // what stands for the value in the help: FILE, N, ...
  std::vector<std::string> choices;  // text only; empty: anything
  std::vector<std::string> aliases;
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool least_excluded = false;
  char letter = 0;                     // short form, 0: none
  bool required = false;               // has to come from somewhere
  bool positional = false;             // given by place; not by name on the command line
  bool nullable = false;               // text: "none" and JSON's null stand for ""
  bool transient = false;              // concerns one call, not the run: not saved, not read from files
  bool ignored = false;                // accepted because the reference has it; without effect
  bool resumable = false;              // may differ from the saved value when a run is resumed
  std::function<void*(void*)> locate;  // address of the field inside the options object

  Option& one_of(std::vector<std::string> names);
  Option& at_least(double value);
  Option& above(double value);
  Option& between(double low, double high);
  Option& placeholder(const std::string& text);  // value_name
  Option& also(const std::string& other_name);
  Option& short_form(char c);
  Option& must_be_given();
  Option& by_place();
  Option& or_none();
  Option& of_this_call();
  Option& changes_on_resume();
};

// The options of one command, in the order in which help shows them.
class OptionTable {
 public:
  // Options added from here on stand under this heading.
  void group(const std::string& heading) { group_ = heading; }

  // An option of the reference that is accepted and has no effect.
  void ignore(const std::string& name, const std::string& doc);

  // By name or alias, dashes and underscores alike, without leading dashes; null if there is none.
  const Option* find(std::string_view name) const;
  const Option& at(std::string_view name) const;  // must exist
  const std::vector<Option>& options() const { return options_; }
  std::vector<std::string> names() const;  // of all options that have a name on the command line
  // A new object with the defaults; format_value() shows them.
  std::shared_ptr<void> defaults() const { return make_(); }

 protected:
  Option& append(const std::string& name, OptionType type, const std::string& doc, std::function<void*(void*)> locate);
  std::function<std::shared_ptr<void>()> make_;

 private:
  std::vector<Option> options_;
  std::string group_ = "Options";
};

// The table of options that live in a T; a default-constructed T gives the defaults.
template <class T>
class OptionsOf : public OptionTable {
 public:
  OptionsOf() {
    make_ = [] { return std::static_pointer_cast<void>(std::make_shared<T>()); };
  }

  // The member may belong to a base of T. Returns the new option for its setters. Two options of one name: an error.
  template <class Field, class Owner>
  Option& add(const std::string& name, Field Owner::*member, const std::string& doc) {
    static_assert(std::is_base_of_v<Owner, T>);
    return append(name, type_of<Field>(), doc,
                  [member](void* object) -> void* { return &(static_cast<T*>(object)->*member); });
  }

  // The same for a field of a group of fields: &TrainOptions::mask_in, &TrainOptions::Side::weight.
  template <class Field, class Part, class Owner>
  Option& add(const std::string& name, Part Owner::*part, Field Part::*member, const std::string& doc) {
    static_assert(std::is_base_of_v<Owner, T>);
    return append(name, type_of<Field>(), doc,
                  [part, member](void* object) -> void* { return &((static_cast<T*>(object)->*part).*member); });
  }

 private:
  template <class Field>
  static constexpr OptionType type_of() {
    if (std::is_same_v<Field, bool>) return OptionType::boolean;
    if (std::is_same_v<Field, std::int64_t>) return OptionType::integer;
    if (std::is_same_v<Field, double>) return OptionType::number;
    if (std::is_same_v<Field, std::optional<double>>) return OptionType::maybe_number;
    if (std::is_same_v<Field, std::vector<std::int64_t>>) return OptionType::integers;
    if (std::is_same_v<Field, std::vector<std::string>>) return OptionType::texts;
    static_assert(std::is_same_v<Field, bool> || std::is_same_v<Field, std::int64_t> || std::is_same_v<Field, double> ||
                      std::is_same_v<Field, std::optional<double>> ||
                      std::is_same_v<Field, std::vector<std::int64_t>> ||
                      std::is_same_v<Field, std::vector<std::string>> || std::is_same_v<Field, std::string>,
                  "no option has a field of this type");
    return OptionType::text;
  }
};

// A value as text: numbers in their shortest form, "none" for what is not set, lists with commas.
std::string format_value(const Option& option, const void* object);
// The same as JSON.
std::string value_as_json(const Option& option, const void* object);

// The values of one call: an options object, and for each option where its value came from.
class OptionValues {
 public:
  // `object` is the T of the table, outlives this and holds the defaults.
  OptionValues(const OptionTable& table, void* object);

  // Parses one value given as text. Wrong type, out of bounds, not among the choices: a usage error naming the option.
  // Texts are appended (one call per item), everything else is replaced.
  void set_text(const Option& option, const std::string& text, const Origin& origin);
  void set_text(std::string_view name, const std::string& text, const Origin& origin) {
    set_text(table_->at(name), text, origin);
  }

  // Reads a JSON object of options from a file (or from text that is called `name` in messages). Unknown or repeated
  // names, wrong types and values out of bounds are usage errors that name the file, the option and the nearest known
  // name. Options that concern one call only are not accepted. What was set before is replaced: call from the lowest
  // source to the highest.
  void read_json_file(const std::string& path);
  void read_json(std::string_view text, const std::string& name);

  // Notes that the field of an option was written by a rule ("--lambda_tv", "--reproduce F").
  void note(std::string_view name, const Origin& origin) { origin_of(name) = origin; }
  const Origin& origin(std::string_view name) const;
  OptionSource source(std::string_view name) const { return origin(name).source; }
  bool is_default_value(std::string_view name) const;  // whether the value equals the default, wherever it came from

  // A usage error for the first required option that nothing has set. `before` stands before its name: "--".
  void check_required(const std::string& before = "--") const;

  const OptionTable& table() const { return *table_; }
  void* object() const { return object_; }

 private:
  Origin& origin_of(std::string_view name);
  std::size_t index_of(std::string_view name) const;
  const OptionTable* table_;
  void* object_;
  std::vector<Origin> origins_;
  std::shared_ptr<void> defaults_;
};

// When a run is resumed: a usage error naming the first option that differs from the saved ones and may not, because
// the run would no longer be the one that was interrupted. Both objects are of the table's type.
void check_resumed(const OptionTable& table, const void* saved, const void* now, const std::string& saved_path);

// All options that make up the run, as one JSON object (args.json); reading it back gives the same options.
std::string to_json(const OptionTable& table, const void* object, bool pretty = true);

}  // namespace pen
