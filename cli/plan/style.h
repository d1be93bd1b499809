// What the picture and the tables of the plan page share: colours, text, numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/plan/page.h"

namespace headroom::cli {

// Text for element content and attributes: & < > " ' escaped, and what XML cannot carry (control characters, bytes that
// are not UTF-8) replaced by U+FFFD.
std::string Escaped(std::string_view text);

// The style class of a part's key; "s-other" for one that is not known.
std::string PartClass(const std::string& key);
// Promised to nobody: drawn as an outline, and not part of what a column asks for.
bool IsUnused(const std::string& key);

// Rules for the picture, in a light and a dark scheme. Plain colours, no variables: every renderer of SVG knows these.
std::string PictureStyle();
// Rules for the page around it.
std::string PageStyle();

// "13.17" (GiB without unit), "13.17 GiB", "42.0 MiB", "640 B".
std::string GibDigits(int64_t bytes);
std::string BytesText(int64_t bytes);

// Sum of the drawn parts; `with_unused` adds what is promised to nobody. Saturates.
int64_t BytesOf(const PageColumn& column, bool with_unused);
// What so many bytes are above the device; 0 when they fit. A device of less than nothing counts as nothing.
int64_t BytesBeyond(const PageColumn& column, int64_t bytes);

// Width in units of a text of size 1, in a usual sans-serif face.
double TextWidth(std::string_view text);

}  // namespace headroom::cli
