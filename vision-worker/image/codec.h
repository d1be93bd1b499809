// Compressed bytes to 8-bit RGB with libpng, libjpeg-turbo, libwebp and giflib, and BMP by hand.
//
// The picture is turned the way up that its header says. Where it is transparent, the DecodeSpec says what shows:
// white, or the hidden colours as Pillow's convert("RGB") gives them. Otherwise the conversions are Pillow's: colour
// profiles and gamma are ignored; CMYK is taken as inverted (Adobe's); of an animation the first frame counts. Samples
// of 16 bits keep their high byte.
//
// Damaged files are shown where their libraries show them and it is known what is missing: JPEG without its end
// marker, with wrong bits, or closed early (grey below); PNG with wrong checksums of chunks or cut behind its last row.
// A file that ends before its picture does is kTruncated.
//
// These libraries have had memory-safety holes: the vision-worker calls this only inside the sandboxed decoder process
// (sandbox.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "vision-worker/image/decode_spec.h"

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

// Decodes to out[spec.height() × spec.width() × 3]. Pixels are undefined unless kOk. Thread-safe, no state; never
// throws, never prints.
DecodeOutcome DecodeImage(const DecodeSpec& spec, const uint8_t* bytes, size_t size, uint8_t* out);

// Upper bound on what DecodeImage allocates besides bytes and out for a picture of width × height: whole-picture state
// of progressive JPEG (coefficients of four components), lossy WebP (its alpha plane and 32-bit pixels) and interlaced
// PNG, plus tables. A picture that wants more is kNoMemory.
constexpr int64_t DecodeScratchBytesMax(int width, int height) {
  constexpr int64_t kTables = int64_t{32} << 20;
  const int64_t pixels = (int64_t{width} + 32) * (int64_t{height} + 32);  // padded to whole JPEG units
  // 10 bytes a pixel hold everything. Very large pictures get fewer, which hold what such pictures are in practice:
  // progressive JPEG of three components (6), PNG with alpha, interlaced or turned (4). At 64 megapixels it is the same
  // as at 40.
  return kTables + std::max(10 * std::min(pixels, model::kWholeDecodePixelsMax), pixels * 25 / 4);
}

}  // namespace headroom::vision_worker
