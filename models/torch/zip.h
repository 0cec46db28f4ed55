// Zip archives as PyTorch writes them: stored (not compressed) entries, found through the central directory.
// Facts: PKWARE's APPNOTE 4.3 and 4.5.3.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/torch/value.h"

namespace pen::torch {

struct ZipEntry {
  std::string name;
  std::uint64_t at = 0, size = 0;  // of the payload, in the file
  std::uint32_t crc = 0;
};

// Entries in the order of the directory. Refused: compressed, encrypted, duplicate or overlapping entries, entries
// outside the file, sizes that disagree, a directory whose length or count is not what it says, missing ZIP64 fields,
// a comment (in which a second directory could hide).
std::vector<ZipEntry> read_zip_directory(const Source& source, Budget& budget);

// CRC-32 of a range of the source.
std::uint32_t crc_of(const Source& source, std::uint64_t at, std::uint64_t size);

}  // namespace pen::torch
