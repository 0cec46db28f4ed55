#include "cli/completion.h"

#include <fmt/format.h>

#include "cli/parse.h"

namespace pen::cli {
namespace {

std::string words_of(const Command& command) {
  std::string words;
  for (const std::string& name : command.table->names()) words += str("--", name, " ");
  for (const std::string& name : program_options()) words += str("--", name, " ");
  words.pop_back();
  return words;
}

std::string all_names(const std::vector<Command>& commands) {
  std::string names;
  for (const Command& command : commands) names += command.name + " ";
  names.pop_back();
  return names;
}

// zsh runs bash's functions after bashcompinit, so both share one script.
std::string bash(const std::vector<Command>& commands) {
  std::string out =
      "# penumbra: completion for bash and zsh. bash: source <(penumbra completion bash)\n"
      "_penumbra() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" command=\"${COMP_WORDS[1]}\"\n"
      "  COMPREPLY=()\n";
  out += fmt::format(
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\")); return; fi\n",
      all_names(commands));
  out += "  case \"$command ${before//-/_}\" in\n";
  for (const Command& command : commands)
    for (const Option& option : command.table->options())
      if (!option.choices.empty() && !option.positional)
        out += fmt::format("    '{} __{}') COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n", command.name,
                           option.name, fmt::join(option.choices, " "));
  out += "  esac\n  if [[ \"$word\" == -* ]]; then\n    case \"$command\" in\n";
  for (const Command& command : commands)
    out += fmt::format("      {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n", command.name, words_of(command));
  out += "    esac\n    return\n  fi\n  COMPREPLY=($(compgen -f -- \"$word\"))\n}\n";
  out += "complete -o filenames -F _penumbra penumbra\n";
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out += '\'';
}

std::string fish(const std::vector<Command>& commands) {
  std::string out = "# penumbra: completion for fish. penumbra completion fish | source\n";
  for (const Command& command : commands)
    out += fmt::format("complete -c penumbra -n __fish_use_subcommand -f -a {} -d {}\n", command.name,
                       quoted(command.summary));
  for (const Command& command : commands) {
    const std::string when = fmt::format("complete -c penumbra -n '__fish_seen_subcommand_from {}'", command.name);
    for (const Option& option : command.table->options()) {
      if (option.positional || option.ignored) continue;
      out += fmt::format("{} -l {}", when, option.name);
      if (option.letter) out += fmt::format(" -s {}", option.letter);
      if (!option.choices.empty())
        out += fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
      else if (option.type != OptionType::boolean)
        out += " -r";
      out += fmt::format(" -d {}\n", quoted(option.doc));
    }
    out += fmt::format("{} -l ZZsrc -r -d 'options from a JSON file'\n", when);
    out += fmt::format("{} -l print_config -d 'show each value and where it came from'\n", when);
    out += fmt::format("{} -l help -s h -d 'options of the command'\n", when);
  }
  return out;
}

}  // namespace

std::string completion_script(const std::string& shell, const std::vector<Command>& commands) {
  if (shell == "bash") return bash(commands);
  if (shell == "fish") return fish(commands);
  PEN_CHECK_AS(usage, shell == "zsh", "completion: '", shell, "' is none of bash, zsh, fish");
  return str(
      "#compdef penumbra\n# zsh: source <(penumbra completion zsh)\nautoload -U +X bashcompinit && bashcompinit\n",
      bash(commands));
}

}  // namespace pen::cli
