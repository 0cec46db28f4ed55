#include "cli/help.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/json.h"

namespace pen::cli {
namespace {

constexpr const char* program_lines[][2] = {
    {"--ZZsrc FILE", "read options from a JSON file; the command line wins over it"},
    {"--print_config", "show every option with its value and where it came from, and end"},
    {"-h, --help", "this page"}};

// Breaks at blanks; later lines start `indent` columns in, the first one is taken to stand there already.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t columns) {
  std::string out, line;
  const std::size_t room = columns > indent + 20 ? columns - indent : 20;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find(' ', start), text.size());
    const std::string word = text.substr(start, end - start);
    if (!line.empty() && line.size() + 1 + word.size() > room) {
      out += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    start = end + 1;
  }
  return out + line;
}

std::string left_side(const Option& option) {
  if (option.positional) return option.value_name;
  std::string text = option.letter ? fmt::format("-{}, --{}", option.letter, option.name) : "--" + option.name;
  if (option.type != OptionType::boolean) text += " " + option.value_name;
  return text;
}

// "default 0.001; above 0" and the like; empty when there is nothing to add.
std::string facts(const Option& option, const void* defaults) {
  std::vector<std::string> parts;
  if (!option.choices.empty())
    parts.push_back(fmt::format("{}{}", fmt::join(option.choices, "|"), option.nullable ? "|none" : ""));
  if (option.required)
    parts.push_back("required");
  else if (const std::string value = format_value(option, defaults);
           option.type != OptionType::boolean && option.type != OptionType::texts && value != "none")
    parts.push_back("default " + value);
  return fmt::format("{}", fmt::join(parts, "; "));
}

void append_row(std::string& out, const std::string& left, const std::string& right, int columns) {
  constexpr std::size_t at = 34;
  out += "  " + left;
  const std::size_t used = 2 + left.size();
  out += used + 2 <= at ? std::string(at - used, ' ') : "\n" + std::string(at, ' ');
  out += wrapped(right, at, static_cast<std::size_t>(columns)) + "\n";
}

// A bar ends a cell of a Markdown table.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string program_help(const std::vector<Command>& commands) {
  std::string out =
      "penumbra: masking-based saliency. Trains maskers that find what a classifier looks at, and scores them.\n\n"
      "usage: penumbra COMMAND [OPTIONS]\n\nCommands\n";
  for (const Command& command : commands) append_row(out, command.name, command.summary, 100);
  out += "\n  penumbra COMMAND --help shows its options; --version the version.\n";
  return out;
}

std::string command_help(const Command& command, int columns) {
  const std::shared_ptr<void> defaults = command.table->defaults();
  std::string out = fmt::format("penumbra {}: {}\n\nusage: penumbra {}", command.name, command.summary, command.name);
  for (const Option& option : command.table->options())
    if (option.positional) out += option.required ? " " + option.value_name : " [" + option.value_name + "]";
  out += " [OPTIONS]\n";
  std::string heading;
  for (const Option& option : command.table->options()) {
    if (option.ignored) continue;
    if (option.group != heading) out += "\n" + (heading = option.group) + "\n";
    const std::string more = facts(option, defaults.get());
    append_row(out, left_side(option), more.empty() ? option.doc : option.doc + " [" + more + "]", columns);
  }
  out += "\nEvery command\n";
  for (const auto& [left, right] : program_lines) append_row(out, left, right, columns);
  out += "\nDashes and underscores in names are alike: --dry-run is --dry_run. Switches also take true or false.\n";
  if (!command.examples.empty()) out += "\nExamples\n" + command.examples;
  return out;
}

std::string markdown(const std::vector<Command>& commands) {
  std::string out =
      "# Options\n\nMade by `penumbra options --markdown` from the tables that the program itself reads; a test keeps "
      "it "
      "current.\n\nDashes and underscores in names are alike. Every command also has `--ZZsrc FILE` (options from a "
      "JSON "
      "file; the command line wins), `--print_config` (each value and where it came from) and `--help`. "
      "`--ZZoverrides` "
      "of the reference is accepted and has no effect.\n";
  for (const Command& command : commands) {
    const std::shared_ptr<void> defaults = command.table->defaults();
    out += fmt::format("\n## penumbra {}\n\n{}.\n", command.name, command.summary);
    std::string heading;
    for (const Option& option : command.table->options()) {
      if (option.group != heading) {
        heading = option.group;
        out += fmt::format("\n### {}\n\n| option | default | meaning |\n| --- | --- | --- |\n", heading);
      }
      std::string meaning = option.doc;
      if (!option.choices.empty()) meaning += fmt::format(" ({})", fmt::join(option.choices, ", "));
      for (const std::string& alias : option.aliases) meaning += fmt::format("; also `--{}`", alias);
      out += fmt::format("| `{}` | {} | {} |\n", escaped(left_side(option)),
                         option.ignored    ? ""
                         : option.required ? "required"
                                           : format_value(option, defaults.get()),
                         escaped(meaning));
    }
  }
  return out;
}

std::string options_json(const std::vector<Command>& commands) {
  JsonWriter out(true);
  out.begin_object();
  for (const Command& command : commands) {
    const std::shared_ptr<void> defaults = command.table->defaults();
    out.key(command.name).begin_array();
    for (const Option& option : command.table->options()) {
      out.begin_object().field("name", option.name).field("group", option.group).field("doc", option.doc);
      out.field("required", option.required).field("positional", option.positional);
      if (!option.choices.empty()) out.field("choices", option.choices);
      if (!option.ignored) out.key("default").raw(value_as_json(option, defaults.get()));
      out.end_object();
    }
    out.end_array();
  }
  out.end_object();
  return out.text() + "\n";
}

void print_config(const OptionValues& values, bool json) {
  if (json) {
    JsonWriter out(true);
    out.begin_array();
    for (const Option& option : values.table().options()) {
      if (option.ignored) continue;
      out.begin_object().field("name", option.name).key("value").raw(value_as_json(option, values.object()));
      out.field("from", describe(values.origin(option.name))).end_object();
    }
    out.end_array();
    std::puts(out.text().c_str());
    return;
  }
  std::fputs(config_table(values).c_str(), stdout);
}

std::string config_table(const OptionValues& values) {
  std::size_t name_width = 0, value_width = 0;
  for (const Option& option : values.table().options()) {
    name_width = std::max(name_width, option.name.size());
    value_width = std::max(value_width, std::min<std::size_t>(format_value(option, values.object()).size(), 40));
  }
  std::string out;
  for (const Option& option : values.table().options())
    if (!option.ignored)
      out += fmt::format("{:<{}}  {:<{}}  {}\n", option.name, name_width, format_value(option, values.object()),
                         value_width, describe(values.origin(option.name)));
  return out;
}

}  // namespace pen::cli
