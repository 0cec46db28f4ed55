// The figures of a step while their values may still be on their way from a device.
#pragma once

#include <functional>
#include <span>
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
  // What figures are made of: the elements of each of their tensors, valid during the call.
  using Elements = std::vector<std::span<const double>>;

  explicit LateLog(Device device) : readout_(device) {}
  void add(std::string name, double value);
  void add(std::string name, const Figure& figure);
  void add(std::string name, const std::vector<Tensor>& of, std::function<double(const Elements&)> make);
  // Several figures of the same tensors, as many as names.
  void add(std::vector<std::string> names, const std::vector<Tensor>& of,
           std::function<std::vector<double>(const Elements&)> make);
  // The only element of a tensor; of several, their sum in double.
  void add_sum(std::string name, const std::vector<Tensor>& of);
  void send() { readout_.send(); }
  StepLog read();

 private:
  struct Entry {
    std::vector<std::string> names;
    std::vector<std::size_t> of;
    std::function<std::vector<double>(const Elements&)> make;
  };
  Readout readout_;
  std::vector<Entry> entries_;
};

}  // namespace pen
