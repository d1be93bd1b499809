// One decoder a format, behind DecodeImage: each puts every row of the canvas, or says why not. No function here
// throws or prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "vision-worker/image/canvas.h"
#include "vision-worker/image/codec.h"

namespace headroom::vision_worker {

using Buffer = std::unique_ptr<uint8_t[]>;

// Null where there is no memory.
inline Buffer Allocate(size_t bytes) { return Buffer(new (std::nothrow) uint8_t[bytes]); }

DecodeOutcome DecodePng(const uint8_t* bytes, size_t size, Canvas* canvas);
DecodeOutcome DecodeJpeg(const uint8_t* bytes, size_t size, const DecodeSpec& spec, Canvas* canvas);
DecodeOutcome DecodeWebp(const uint8_t* bytes, size_t size, Canvas* canvas);
DecodeOutcome DecodeGif(const uint8_t* bytes, size_t size, Canvas* canvas);
DecodeOutcome DecodeBmp(const uint8_t* bytes, size_t size, Canvas* canvas);

}  // namespace headroom::vision_worker
