// The figures of a step while their values may still be on their way from a device.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "layers/losses.h"
#include "tensor/readout.h"

namespace pen {

// Figures in the order of the log, (name, value).
using StepLog = std::vector<std::pair<std::string, double>>;

// Use: add() figures, send() once, read() when they are wanted. On the CPU every value is known at once.
class LateLog {
 public:
  // What one figure is made of: the elements of its tensors.
  using Elements = std::vector<std::vector<double>>;
  using Make = std::function<double(const Elements&)>;

  explicit LateLog(Device device) : readout_(device) {}
  void add(std::string name, double value);
  void add(std::string name, const Figure& figure);
  void add(std::string name, const std::vector<Tensor>& of, Make make);
  // The only element of a tensor; of several, their sum in double.
  void add_sum(std::string name, const std::vector<Tensor>& of);
  void send() { readout_.send(); }
  StepLog read();

 private:
  struct Entry {
    std::string name;
    std::vector<std::size_t> of;
    Make make;
  };
  Readout readout_;
  std::vector<Entry> entries_;
};

}  // namespace pen
