// How fast the processor's clock runs while it works: what frequency tables of the system do not say, least of all in a
// virtual machine.
#pragma once

namespace pen {

// GHz of the core that this thread is on, measured for about 20 ms by a chain of additions that wait for each other,
// one a cycle.
double measured_clock_ghz();

}  // namespace pen
