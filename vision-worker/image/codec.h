// Compressed bytes to 8-bit RGB with libpng, libjpeg-turbo and libwebp, with the conversions of Pillow's
// convert("RGB"): alpha is dropped, not blended; EXIF orientation, colour profiles and gamma are ignored; grey of 16
// bits saturates at 255, other 16-bit samples keep their high byte; CMYK is taken as inverted (Adobe's convention); of
// an animation the first frame counts.
//
// These libraries have had memory-safety holes: the vision-worker calls this only inside the sandboxed decoder process
// (sandbox.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/image/header.h"

namespace headroom::vision_worker {

// A closed list: no text of a library ever leaves the decoder. Values are part of the protocol with the decoder
// process.
enum class DecodeOutcome : uint32_t {
  kOk = 0,
  kTruncated = 1,    // the data ends before the picture does
  kCorrupt = 2,      // the data contradicts itself or its format
  kUnsupported = 3,  // valid, but a variant that is not decoded here
  kWrongSize = 4,    // not width × height as the header probe said
  kNoMemory = 5,
};
inline constexpr DecodeOutcome kDecodeOutcomeLast = DecodeOutcome::kNoMemory;

// Decodes to out[height × width × 3]. Pixels are undefined unless kOk. Thread-safe, no state; never throws, never
// prints.
DecodeOutcome DecodeImage(model::ImageFormat format, const uint8_t* bytes, size_t size, int width, int height,
                          uint8_t* out);

// Upper bound on what DecodeImage allocates besides bytes and out: whole-picture state of progressive JPEG
// (coefficients of four components), lossless WebP (32-bit pixels and its alpha plane) and 16-bit interlaced PNG, plus
// tables.
constexpr int64_t DecodeScratchBytesMax(int width, int height) {
  // 10 bytes a pixel: four components of 16-bit coefficients, or 32-bit pixels with alpha, each padded to whole JPEG
  // units.
  constexpr int64_t kTables = int64_t{32} << 20;
  return kTables + (int64_t{width} + 32) * (int64_t{height} + 32) * 10;
}

}  // namespace headroom::vision_worker
