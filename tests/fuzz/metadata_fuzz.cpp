#include <algorithm>

#include "data/boxes.h"
#include "data/metadata.h"
#include "tests/fuzz/fuzz.h"

// Metadata and box files are told apart by nothing but their reader, so each input goes through both.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::run(ErrorKind::data, data, size, [&](auto) {
    const BoxTable table = BoxTable::parse(text, "boxes.json");
    for (const auto& [key, boxes] : table.entries()) fuzz::must(table.find(key) == &boxes, "every key is found");
  });
  const bool boxes_accepted = fuzz::accepted;
  fuzz::run(ErrorKind::data, data, size, [&](auto) {
    const Metadata m = Metadata::parse(text, "metadata.json");
    fuzz::must(m.size() > 0, "there are samples");
    fuzz::must(m.memory_bytes() <= size + 16 * static_cast<std::size_t>(m.size()), "memory is bounded by the text");
    for (std::int64_t i = 0; i < m.size(); ++i) {
      fuzz::must(m.label(i) >= 0 && m.label(i) < m.class_count(), "labels are in range");
      fuzz::must(!m.path_view(i).empty(), "paths are not empty");
    }
  });
  fuzz::accepted |= boxes_accepted;
  return 0;
}
