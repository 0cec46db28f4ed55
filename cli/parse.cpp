#include "cli/parse.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <map>
#include <set>

#include "base/nearest.h"

namespace pen::cli {
namespace {

bool is_long(const std::string& word) { return word.size() > 2 && word.starts_with("--"); }

// "--train-json=x" -> "--train_json=x"; other words stay.
std::string canonical(std::string word) {
  if (!is_long(word)) return word;
  const std::size_t end = std::min(word.find('='), word.size());
  std::replace(word.begin() + 2, word.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  return word;
}

bool is_boolean_word(const std::string& word) {
  static const std::set<std::string> words = {"true", "false", "True", "False", "0", "1"};
  return words.contains(word);
}

bool is_negative_number(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && (std::isdigit(static_cast<unsigned char>(word[1])) || word[1] == '.');
}

// What CLI11 has no notion of: names with dashes, switches with a value as a word of its own, negative values.
std::vector<std::string> prepared(const OptionTable& table, const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    std::string word = canonical(words[i]);
    if (is_long(word) && word.find('=') == std::string::npos && i + 1 < words.size()) {
      const Option* option = table.find(word.substr(2));
      const std::string& next = words[i + 1];
      const bool boolean = option && option->type == OptionType::boolean;
      // CLI11 would take the next option for the value
      PEN_CHECK_AS(usage, !option || boolean || !is_long(next), word, ": its value is missing (", word,
                   "=VALUE takes one that starts with dashes)");
      if (option && (boolean ? is_boolean_word(next) : is_negative_number(next))) {
        word += "=" + next;
        ++i;
      }
    }
    out.push_back(std::move(word));
  }
  return out;
}

std::string cli_names(const Option& option) {
  if (option.positional) return option.name;
  std::string names = "--" + option.name;
  for (const std::string& alias : option.aliases) names += ",--" + alias;
  if (option.letter) {
    names += ",-";
    names += option.letter;
  }
  return names;
}

[[noreturn]] void refuse(const OptionTable& table, const std::string& word) {
  if (!word.starts_with('-') || word == "-")
    fail(ErrorKind::usage, str("unexpected '", word, "'"), "options start with --; --help lists them");
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> known = table.names();
  known.insert(known.end(), program_options().begin(), program_options().end());
  const std::size_t start = std::min(name.find_first_not_of('-'), name.size());
  const std::string hint = did_you_mean(name.substr(start), known, "--");
  fail(ErrorKind::usage, str("unknown option '", name, "'"), hint.empty() ? "--help lists the options" : hint);
}

}  // namespace

const std::vector<std::string>& program_options() {
  static const std::vector<std::string> names = {"ZZsrc", "ZZoverrides", "print_config", "help"};
  return names;
}

CommandLine parse(const OptionTable& table, const std::vector<std::string>& words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  const auto accept = [](const CLI::results_t&) { return true; };
  std::map<const CLI::Option*, const Option*> by_cli;
  for (const Option& option : table.options()) {
    CLI::Option* added = nullptr;
    if (option.type == OptionType::boolean) {
      added = app.add_flag(cli_names(option));
    } else {
      added = app.add_option(cli_names(option), accept);
      added->type_name(option.value_name);
      if (option.type == OptionType::texts) added->expected(1, 1 << 20)->allow_extra_args();  // also after options
    }
    if (option.type != OptionType::texts) added->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    by_cli[added] = &option;
  }
  CommandLine line;
  CLI::Option* source = app.add_option("--ZZsrc", line.source_file)->type_name("FILE");
  source->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--ZZoverrides", accept)->expected(0, 1 << 20);
  CLI::Option* print = app.add_flag("--print_config");
  CLI::Option* help = app.add_flag("--help,-h");

  std::vector<std::string> reversed = prepared(table, words);
  std::reverse(reversed.begin(), reversed.end());  // CLI11 takes words from the back
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();
    fail(ErrorKind::usage, text.substr(0, text.find(':')) + ": its value is missing");
  } catch (const CLI::ParseError& error) {
    fail(ErrorKind::usage, error.what());
  }
  line.help = help->count() > 0;
  line.print_config = print->count() > 0;
  if (line.help) return line;
  if (const auto extra = app.remaining(); !extra.empty()) refuse(table, extra.front());
  for (const CLI::Option* option : std::as_const(app).get_options()) {
    const auto found = by_cli.find(option);
    if (found == by_cli.end() || option->count() == 0) continue;
    const std::vector<std::string> results = option->results();
    if (found->second->type == OptionType::texts)
      for (const std::string& item : results) line.given.emplace_back(found->second, item);
    else
      line.given.emplace_back(found->second, results.back());
  }
  return line;
}

void CommandLine::apply(OptionValues& values) const {
  if (!source_file.empty()) values.read_json_file(source_file);
  for (const auto& [option, text] : given) values.set_text(*option, text, {OptionSource::command_line, {}, {}});
}

}  // namespace pen::cli
