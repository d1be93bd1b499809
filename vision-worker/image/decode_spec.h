// What to make of a file whose header was probed.
#pragma once

#include <cstdint>

#include "model/image/header.h"
#include "model/image/host_bytes.h"

namespace headroom::vision_worker {

// What shows where a picture is transparent. Values are part of the protocol with the decoder process.
enum class Transparency : uint32_t {
  kWhite = 0,    // a white ground
  kDropped = 1,  // the colours that hide there: alpha is dropped, as convert("RGB") of the published processor does
};
inline constexpr Transparency kTransparencyLast = Transparency::kDropped;

struct DecodeSpec {
  model::ImageHeader header;  // ProbeImage's
  Transparency transparency = Transparency::kWhite;
  int shrink = 1;  // model::DecodeShrink: JPEG only

  // Of the result: turned and shrunk.
  int width() const { return model::ShrunkSide(header.width, shrink); }
  int height() const { return model::ShrunkSide(header.height, shrink); }
};

}  // namespace headroom::vision_worker
