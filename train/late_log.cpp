#include "train/late_log.h"

#include "base/check.h"

namespace pen {

void LateLog::add(std::string name, double value) {
  add(std::move(name), {}, [value](const Elements&) { return value; });
}

void LateLog::add(std::string name, const Figure& figure) {
  // Without the tensor, which the readout holds as long as it has to.
  const Figure how{figure.is, {}};
  add(std::move(name), {figure.values}, [how](const Elements& e) { return how.of(e[0]); });
}

void LateLog::add(std::string name, const std::vector<Tensor>& of, std::function<double(const Elements&)> make) {
  add(std::vector<std::string>{std::move(name)}, of,
      [make = std::move(make)](const Elements& e) { return std::vector<double>{make(e)}; });
}

void LateLog::add(std::vector<std::string> names, const std::vector<Tensor>& of,
                  std::function<std::vector<double>(const Elements&)> make) {
  std::vector<std::size_t> numbers;
  for (const Tensor& t : of) numbers.push_back(readout_.add(t));
  entries_.push_back({std::move(names), std::move(numbers), std::move(make)});
}

void LateLog::add_sum(std::string name, const std::vector<Tensor>& of) {
  add(std::move(name), of, [](const Elements& e) {
    double sum = 0;
    for (const auto& part : e) {
      PEN_CHECK(part.size() == 1, "a sum of tensors of one element: one has ", part.size());
      sum += part[0];
    }
    return sum;
  });
}

StepLog LateLog::read() {
  StepLog out;
  for (const Entry& entry : entries_) {
    Elements elements;
    for (const std::size_t number : entry.of) elements.emplace_back(readout_.values(number));
    const std::vector<double> values = entry.make(elements);
    for (std::size_t i = 0; i < entry.names.size(); ++i) out.emplace_back(entry.names[i], values.at(i));
  }
  return out;
}

}  // namespace pen
