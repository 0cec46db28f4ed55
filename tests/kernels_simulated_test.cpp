// The parity cases "cuda: ..." on the simulated GPU (simulated_gpu.cpp, linked in front of the CUDA backend), and that
// the simulation finds what it is for.
#include "tests/kernels_parity_test.cpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

TEST_CASE("simulated: host memory given to a kernel is an error, device memory read by the host ends the program") {
  const Device gpu{Device::Kind::cuda, 0};
  const Context ctx{.device = gpu};
  auto* memory = static_cast<float*>(kernels::device::allocate(gpu, 64));
  float host[4] = {1, 2, 3, 4};
  kernels::fill(ctx, 4, 7.0, memory);
  CHECK_THROWS_AS(kernels::copy(ctx, 4, host, memory), Error);
  CHECK_THROWS_AS(kernels::device::copy(Device{}, memory, gpu, memory, 16, nullptr), Error);
  kernels::device::copy(Device{}, host, gpu, memory, sizeof host, nullptr);
  CHECK(host[3] == 7.0f);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);  // not doctest's handler
    volatile float seen = memory[0];
    (void)seen;
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
  kernels::device::release(gpu, memory);
}
