#include "tensor/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  return fuzz::run(ErrorKind::checkpoint, data, size, [&](std::span<const std::uint8_t> bytes) {
    const SafetensorsFile file = SafetensorsFile::parse(bytes, "weights.safetensors");
    fuzz::must(file.order().size() == file.tensors().size(), "every tensor is listed once");
    for (const std::string& name : file.order()) {
      const StoredTensor& tensor = file.at(name);
      const std::uint8_t* first = tensor.bytes.data();
      fuzz::must(tensor.bytes.empty() || (first >= data && first + tensor.bytes.size() <= data + size),
                 "tensors are inside the file");
      fuzz::must(tensor.numel() >= 0, "the number of elements fits");
      static volatile std::uint8_t sink = 0;  // touch every byte, for the address sanitizer
      for (const std::uint8_t byte : tensor.bytes) sink = static_cast<std::uint8_t>(sink ^ byte);
    }
  });
}
