// What the picture and the page share.
#pragma once

#include <string>

#include "cli/plan/figure.h"

namespace headroom {

extern const char kPictureCss[];  // cli/plan/picture.css
extern const char kPageCss[];     // cli/plan/page.css

namespace cli {

// The picture as an element of a page that has kPictureCss.
std::string PictureElement(const Figure& figure);

inline std::string StyleElement(const std::string& css) { return "<style>\n" + css + "</style>\n"; }

inline std::string SegmentClass(const std::string& key) { return "segment s-" + key; }

constexpr const char* ToneName(Tone tone) {
  return tone == Tone::kGood ? "good" : tone == Tone::kPoor ? "poor" : "bad";
}

}  // namespace cli
}  // namespace headroom
