// Ctrl-C. The first one asks: loops poll requested(), finish what they are at, save, and the program ends with 130. The
// second one ends the program at once.
#pragma once

namespace pen::interrupt {

// Takes SIGINT and SIGTERM over for the whole process. Called once, by the program.
void install();

// Whether somebody has asked. Safe and cheap from any thread.
bool requested() noexcept;

// As if Ctrl-C had been pressed once (tests), and back.
void request() noexcept;
void clear() noexcept;

inline constexpr int exit_code = 130;

}  // namespace pen::interrupt
