// Bicubic resize of 8-bit RGB, bit-equal to Pillow's Image.resize(size, BICUBIC).
//
// The two passes round to 8 bits in between, so their order shows in the last bit. As in Pillow 13, with which the
// golden data was made, the vertical pass goes first when the picture loses more than twice as many rows as columns,
// else the horizontal one. (Older versions always begin with the horizontal one.)
#pragma once

#include <cstdint>

namespace headroom::vision_worker {

// Resizes `in` (in_height × in_width × 3 bytes) to `out` (out_height × out_width × 3 bytes). Sides are 1 or more; the
// caller keeps them within the limits of model/image. The two must not overlap. Thread-safe. What
// it allocates and frees: two weight tables, one padded input row, and a window of horizontally resized rows as high as
// the vertical filter, never a whole intermediate picture; below 4 MiB within those limits.
void ResizeBicubic(const uint8_t* in, int in_width, int in_height, uint8_t* out, int out_width, int out_height);

}  // namespace headroom::vision_worker
