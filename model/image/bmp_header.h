// The header of a Windows or OS/2 bitmap: the probe reads sizes from it, the decoder everything.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "model/image/file_bytes.h"

namespace headroom::model {

enum class BmpCoding { kRaw, kRle8, kRle4 };

struct BmpHeader {
  int64_t width = 0;
  int64_t height = 0;
  bool top_down = false;  // else the first row is the lowest
  int bits = 0;           // of a pixel: 1, 4, 8 (palette); 16, 24, 32 (colour)
  BmpCoding coding = BmpCoding::kRaw;
  // Of 16 and 32 bits: where red, green, blue and alpha lie. Contiguous bits; 0: the channel is absent.
  std::array<uint32_t, 4> masks = {};
  size_t palette_offset = 0;
  int palette_entries = 0;      // at most 256
  int palette_entry_bytes = 0;  // 3 or 4: blue, green, red and nothing
  size_t pixel_offset = 0;

  // Bytes of a row of kRaw: whole 32-bit words.
  int64_t row_bytes() const { return (width * bits + 31) / 32 * 4; }
};

// INVALID_ARGUMENT: truncated, malformed, or a variant that is not decoded. The file starts with "BM".
absl::StatusOr<BmpHeader> ReadBmpHeader(const FileBytes& file);

}  // namespace headroom::model
