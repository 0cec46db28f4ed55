// Geometry of boxes in the frame of the network's input (data/boxes.h has the type and its files), and the protocols.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/boxes.h"

namespace pen::eval {

// What a number is meant to be compared with. paper: what the reference implementation does, quirks included, because
// the published numbers were made with it. strict: the same with the quirks repaired. Every result names its protocol.
enum class Protocol { paper, strict };
Protocol parse_protocol(std::string_view name);  // paper|strict, else a usage error
std::string_view protocol_name(Protocol protocol);

// Pixels in columns [xmin, xmax) and rows [ymin, ymax); 0 for a box that ends where it starts or before.
std::int64_t area(const Box& box);
// Cut to the frame 0..size on both axes.
Box clipped(const Box& box, std::int64_t size);
// Pixels that two boxes share.
std::int64_t intersection(const Box& a, const Box& b);
// Ones inside the box (clipped), zeros elsewhere: (size, size) row-major.
std::vector<float> box_mask(const Box& box, std::int64_t size);

}  // namespace pen::eval
