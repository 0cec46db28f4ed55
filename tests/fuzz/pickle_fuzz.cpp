#include <cstring>
#include <string>
#include <string_view>

#include "tests/fuzz/torch_fuzz.h"

// The legacy format is a few pickles and then the storages. Inputs are whole files, or what follows their header.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace std::string_view_literals;
  static constexpr std::string_view magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv;
  static constexpr std::string_view rest = "\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s."sv;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.starts_with(magic)) return pen::fuzz::read_torch_file(data, size);
  std::string file(magic);
  file.append(rest).append(input);
  return pen::fuzz::read_torch_file(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
}
