// Runs the program that was built, as a shell does.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/paths.h"
#include "tests/scratch.h"

namespace pen::test {

// How a call ended: exit code (-1: by a signal), and what it wrote.
struct Ended {
  int code = -1;
  std::string out, err;
};

inline std::string shell_quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) c == '\'' ? text.append("'\\''") : text.append(1, c);
  return text + "'";
}

// `tail` is appended as it is: redirections.
inline Ended run_program(const std::string& program, const std::vector<std::string>& words,
                         const std::string& tail = {}) {
  const ScratchFolder folder;
  std::string command = shell_quoted(program);
  for (const std::string& word : words) command.append(" ").append(shell_quoted(word));
  command += " >" + folder / "out" + " 2>" + folder / "err" + " </dev/null " + tail;
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(folder / "out"), slurp(folder / "err")};
}

inline Ended penumbra(const std::vector<std::string>& words, const std::string& tail = {}) {
  return run_program(pen::test::program_path(), words, tail);
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace pen::test
