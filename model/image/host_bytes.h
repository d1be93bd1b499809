// What a picture takes of a vision-worker's host memory while it is decoded and cut.
#pragma once

#include <cstdint>

namespace headroom::model {

// Bytes, at most, beside the compressed file: the decoded picture as 8-bit RGB; the pixels of all pieces, which wait
// for the vision tower; and the sheet that slices are cut from, which is no larger than the pieces. What a resize takes
// by itself is bounded for each decoder and not for each picture. The sides are at most kImageSideLimit, so nothing
// overflows.
inline int64_t DecodedHostBytes(int64_t width, int64_t height, int64_t patches, int64_t patch_size) {
  return 3 * width * height + 2 * patches * 3 * patch_size * patch_size;
}

}  // namespace headroom::model
