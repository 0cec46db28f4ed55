// Tar archives (POSIX ustar and pax) as PyTorch 0.1 wrote them. Members are read in place; nothing is unpacked.
// Facts: POSIX.1-2001, pax.
#pragma once

#include <string>
#include <vector>

#include "models/torch/bytes.h"

namespace pen::torch {

struct TarMember {
  std::string name;
  std::uint64_t at = 0, size = 0;  // of its content, in the file
};

// The plain files of the archive. Refused: a wrong checksum, a name that comes twice, a member that reaches beyond the
// end of the file (with the byte at which the file ends), links and devices, more than 1000 members.
std::vector<TarMember> read_tar_members(const Source& source);
bool looks_like_tar(const Source& source);

}  // namespace pen::torch
