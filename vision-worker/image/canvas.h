// Where a decoder puts its rows: turns them the way up that people see, and puts what is transparent on white.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vision-worker/image/decode_spec.h"

namespace headroom::vision_worker {

// No state but the place of the pixels; trivially destructible, so that a longjmp may cross it.
class Canvas {
 public:
  // Rows that decoders hand over at once: enough for turned rows to be written in runs of a cache line.
  static constexpr int kStripRows = 16;

  // `out`: spec.height() × spec.width() × 3 bytes.
  Canvas(const DecodeSpec& spec, uint8_t* out);

  // Pixels as the file stores them, at 1/shrink: Put() wants these.
  int width() const { return width_; }
  int height() const { return height_; }
  // Whether PutRgba() would look at alpha: where not, a decoder may leave it out.
  bool wants_alpha() const { return transparency_ == Transparency::kWhite; }
  // height() × width() × 3 bytes that a decoder may write itself instead of putting; null where rows are turned.
  uint8_t* Direct() const { return turned_ ? nullptr : out_; }

  // Rows top … top + count − 1, inside the picture, without padding.
  void PutRgb(int top, int count, const uint8_t* rows);
  // The same with alpha, not premultiplied. Changes `rows`.
  void PutRgba(int top, int count, uint8_t* rows);

 private:
  uint8_t* out_;
  Transparency transparency_;
  bool turned_;
  int width_;
  int height_;
  // Pixel (x, y) goes to pixel first_ + x·step_x_ + y·step_y_ of the result.
  int64_t first_ = 0;
  int64_t step_x_ = 1;
  int64_t step_y_ = 0;
};

// One channel on white. Rounds as Pillow's alpha_composite does; alpha 255 changes nothing.
inline uint8_t OnWhite(uint32_t value, uint32_t alpha) {
  constexpr int kExtraBits = 7;
  const uint32_t sum = (value * alpha + 255 * (255 - alpha) + 128) << kExtraBits;
  return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> kExtraBits);
}

}  // namespace headroom::vision_worker
