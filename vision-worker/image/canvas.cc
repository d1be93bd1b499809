#include "vision-worker/image/canvas.h"

#include <cstring>

namespace headroom::vision_worker {

using model::Orientation;

Canvas::Canvas(const DecodeSpec& spec, uint8_t* out)
    : out_(out),
      transparency_(spec.transparency),
      turned_(spec.header.orientation != Orientation::kUpright),
      width_(model::ShrunkSide(spec.header.stored_width(), spec.shrink)),
      height_(model::ShrunkSide(spec.header.stored_height(), spec.shrink)) {
  const Orientation orientation = spec.header.orientation;
  const auto is = [orientation](Orientation a, Orientation b) { return orientation == a || orientation == b; };
  if (!model::SwapsSides(orientation)) {
    const bool from_right = is(Orientation::kMirrored, Orientation::kHalfTurn);
    const bool from_below = is(Orientation::kHalfTurn, Orientation::kFlipped);
    step_x_ = from_right ? -1 : 1;
    step_y_ = from_below ? -int64_t{width_} : width_;
    first_ = (from_right ? width_ - 1 : 0) + (from_below ? int64_t{height_ - 1} * width_ : 0);
  } else {
    // A stored row is a column of the result, whose rows are height_ long.
    const bool from_right = is(Orientation::kQuarterTurn, Orientation::kTransverse);
    const bool from_below = is(Orientation::kTransverse, Orientation::kThreeQuarters);
    step_y_ = from_right ? -1 : 1;
    step_x_ = from_below ? -int64_t{height_} : height_;
    first_ = (from_right ? height_ - 1 : 0) + (from_below ? int64_t{width_ - 1} * height_ : 0);
  }
}

void Canvas::PutRgb(int top, int count, const uint8_t* rows) {
  const size_t row_bytes = static_cast<size_t>(width_) * 3;
  if (!turned_) {
    uint8_t* to = out_ + static_cast<size_t>(top) * row_bytes;
    if (to != rows) std::memcpy(to, rows, static_cast<size_t>(count) * row_bytes);
    return;
  }
  for (int strip = 0; strip < count; strip += kStripRows) {
    const int end = strip + kStripRows < count ? strip + kStripRows : count;
    for (int x = 0; x < width_; ++x) {
      for (int y = strip; y < end; ++y) {
        const uint8_t* from = rows + static_cast<size_t>(y) * row_bytes + static_cast<size_t>(x) * 3;
        std::memcpy(out_ + (first_ + x * step_x_ + (top + y) * step_y_) * 3, from, 3);
      }
    }
  }
}

void Canvas::PutRgba(int top, int count, uint8_t* rows) {
  // In place: three bytes never overtake four.
  const size_t pixels = static_cast<size_t>(count) * static_cast<size_t>(width_);
  for (size_t i = 0; i < pixels; ++i) {
    const uint8_t* from = rows + 4 * i;
    const uint32_t alpha = wants_alpha() ? from[3] : 255;
    for (size_t channel = 0; channel < 3; ++channel) rows[3 * i + channel] = OnWhite(from[channel], alpha);
  }
  PutRgb(top, count, rows);
}

}  // namespace headroom::vision_worker
