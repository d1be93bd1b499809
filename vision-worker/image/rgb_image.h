// A decoded picture: 8-bit RGB, interleaved, rows from the top, no padding between rows.
#pragma once

#include <cstdint>
#include <memory>

namespace headroom::vision_worker {

// Immutable once filled and cheap to copy: copies share the pixels, the last one frees (or unmaps) them.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::shared_ptr<const uint8_t> pixels;  // height × width × 3 bytes
  int shrink = 1;                         // decoded at 1/shrink of the picture's sides, rounded up

  int64_t bytes() const { return int64_t{width} * height * 3; }
};

}  // namespace headroom::vision_worker
