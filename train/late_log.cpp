#include "train/late_log.h"

namespace pen {

void LateLog::add(std::string name, double value) {
  entries_.push_back({std::move(name), {}, [value](const Elements&) { return value; }});
}

void LateLog::add(std::string name, const Figure& figure) {
  // Without the tensor, which the readout holds as long as it has to.
  const Figure how{figure.is, {}};
  add(std::move(name), {figure.values}, [how](const Elements& e) { return how.of(e[0]); });
}

void LateLog::add(std::string name, const std::vector<Tensor>& of, Make make) {
  std::vector<std::size_t> numbers;
  for (const Tensor& t : of) numbers.push_back(readout_.add(t));
  entries_.push_back({std::move(name), std::move(numbers), std::move(make)});
}

void LateLog::add_sum(std::string name, const std::vector<Tensor>& of) {
  add(std::move(name), of, [](const Elements& e) {
    double sum = 0;
    for (const auto& part : e) sum += part.at(0);
    return sum;
  });
}

StepLog LateLog::read() {
  StepLog out;
  for (const Entry& entry : entries_) {
    Elements elements;
    for (const std::size_t number : entry.of) elements.push_back(readout_.values(number));
    out.emplace_back(entry.name, entry.make(elements));
  }
  return out;
}

}  // namespace pen
