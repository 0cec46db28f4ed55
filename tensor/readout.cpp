#include "tensor/readout.h"

#include <map>
#include <mutex>
#include <utility>

#include "kernels/kernels.h"

namespace pen {
namespace {

std::size_t bytes_of(const Tensor& t) { return static_cast<std::size_t>(t.numel()) * size_of(t.dtype()); }
std::size_t room_of(const Tensor& t) { return (bytes_of(t) + 7) / 8 * 8; }  // so that each begins aligned

template <class T>
std::vector<double> widened(const void* from, std::int64_t n) {
  const T* p = static_cast<const T*>(from);
  return {p, p + n};
}

std::vector<double> doubles(DType dtype, const void* from, std::int64_t n) {
  if (dtype == DType::f32) return widened<float>(from, n);
  if (dtype == DType::f64) return widened<double>(from, n);
  return widened<std::int64_t>(from, n);
}

}  // namespace

// Where a copy arrives.
struct Readout::Slot {
  explicit Slot(Device d) : device(d), pinned(nullptr, Release{d}), copied(d) {}
  ~Slot() {
    try {
      copied.wait();
    } catch (const Error&) {  // the device is gone, and with it the copy
    }
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Room for so many bytes on both sides. Without memory for it an Error, and the slot is as it was.
  void grow(std::size_t wanted) {
    if (wanted <= bytes) return;
    Tensor larger = Tensor::empty({static_cast<std::int64_t>(wanted)}, DType::u8, device);
    pinned = {kernels::device::allocate_pinned(device, wanted), Release{device}};
    block = std::move(larger);
    bytes = wanted;
  }

  struct Release {
    Device device;
    void operator()(void* memory) const noexcept { kernels::device::release_pinned(device, memory); }
  };
  Device device;
  Tensor block;  // on the device: all tensors, one behind the other
  std::unique_ptr<void, Release> pinned;
  std::size_t bytes = 0;  // of each
  kernels::device::Mark copied;
};

// Slots that nobody uses: as many as ever were in use at the same time. They live as long as the process, as the pools
// of tensors do.
struct Readout::Slots {
  std::mutex mutex;
  std::map<int, std::vector<std::unique_ptr<Slot>>> unused;  // by the GPU's index
};

Readout::Slots& Readout::slots() {
  static auto& all = *new Slots;
  return all;
}

Readout::Readout(Device device) : device_(device) {}
Readout::Readout(Readout&&) noexcept = default;

Readout::~Readout() {
  if (!slot_) return;
  try {
    const std::lock_guard lock(slots().mutex);
    slots().unused[device_.index].push_back(std::move(slot_));
  } catch (...) {  // no memory for the list: the slot is freed
  }
}

std::size_t Readout::add(const Tensor& tensor) {
  PEN_CHECK(!sent_, "readout: a tensor after send()");
  PEN_CHECK(tensor.dtype() == DType::f32 || tensor.dtype() == DType::f64 || tensor.dtype() == DType::i64,
            "readout: a tensor of ", name_of(tensor.dtype()));
  PEN_CHECK(tensor.device() == device_, "readout: a tensor on ", name_of(tensor.device()), ", expected ",
            name_of(device_));
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].impl() == tensor.impl()) return i;
  tensors_.push_back(tensor);
  if (!device_.is_cuda()) values_.push_back(doubles(tensor.dtype(), tensor.bytes(), tensor.numel()));
  return tensors_.size() - 1;
}

void Readout::send() {
  PEN_CHECK(!sent_, "readout: sent twice");
  std::size_t bytes = 0;
  for (const Tensor& t : tensors_) bytes += room_of(t);
  if (device_.is_cuda() && bytes > 0) copy(bytes);
  sent_ = true;
}

void Readout::copy(std::size_t bytes) {
  {
    const std::lock_guard lock(slots().mutex);
    auto& unused = slots().unused[device_.index];
    if (!unused.empty()) {
      slot_ = std::move(unused.back());
      unused.pop_back();
    }
  }
  if (!slot_) slot_ = std::make_unique<Slot>(device_);
  slot_->copied.wait();  // of a readout that nobody looked at
  slot_->grow(bytes);
  void* const stream = kernels::device::stream(device_);
  auto* to = slot_->block.mutable_data<std::uint8_t>();
  for (const Tensor& t : tensors_) {
    kernels::device::copy(device_, to, device_, t.bytes(), bytes_of(t), stream);
    to += room_of(t);
  }
  kernels::device::read_later(device_, slot_->pinned.get(), slot_->block.bytes(), bytes, stream);
  slot_->copied.record(stream);
}

void Readout::receive() {
  if (slot_) slot_->copied.wait();
  const auto* from = slot_ ? static_cast<const std::uint8_t*>(slot_->pinned.get()) : nullptr;
  for (const Tensor& t : tensors_) {
    values_.push_back(doubles(t.dtype(), from, t.numel()));
    from += room_of(t);
  }
  tensors_.clear();
}

const std::vector<double>& Readout::values(std::size_t number) {
  PEN_CHECK(sent_, "readout: values before send()");
  if (device_.is_cuda() && values_.empty() && !tensors_.empty()) receive();
  return values_.at(number);
}

}  // namespace pen
