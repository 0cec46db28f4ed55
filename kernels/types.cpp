#include "kernels/types.h"

#include "kernels/kernels.h"

namespace pen {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  fail(ErrorKind::run, "size_of: no such dtype");
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::i64:
      return "i64";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

std::string name_of(Device device) { return device.is_cuda() ? "cuda:" + std::to_string(device.index) : "cpu"; }

Device parse_device(const std::string& text) {
  const int count = text == "cpu" ? 0 : kernels::device::cuda_count();
  if (text == "cpu" || (text == "auto" && count == 0)) return {};
  if (text == "auto") return {Device::Kind::cuda, 0};
  int index = 0;
  if (text != "cuda") {
    const bool numbered = text.rfind("cuda:", 0) == 0 && text.size() > 5 && text.size() < 9 &&
                          text.find_first_not_of("0123456789", 5) == std::string::npos;
    if (!numbered)
      fail(ErrorKind::usage, "--device: '" + text + "' is not one of auto, cpu, cuda, cuda:0, cuda:1, ...");
    index = std::stoi(text.substr(5));
  }
  if (index >= count)
    fail(ErrorKind::device, "--device " + text + ": this program sees " + std::to_string(count) + " GPUs",
         "`penumbra doctor` says whether it was built with CUDA and what the driver reports");
  return {Device::Kind::cuda, index};
}

const char* kernels::name_of(Math math) { return math == Math::fp32 ? "fp32" : "tf32"; }

}  // namespace pen
