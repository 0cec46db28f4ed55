// Lists that are given as one text.
#pragma once

#include <string_view>
#include <vector>

namespace pen {

// What stands between the commas, without spaces around it: "a, b,,c" gives a, b, "" and c; "" gives one empty item.
// The items are parts of `text`.
std::vector<std::string_view> comma_items(std::string_view text);

}  // namespace pen
