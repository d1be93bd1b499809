#include "vision-worker/image/codec.h"

#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {

DecodeOutcome DecodeImage(const DecodeSpec& spec, const uint8_t* bytes, size_t size, uint8_t* out) {
  Canvas canvas(spec, out);
  const model::ImageFormat format = spec.header.format;
  if (spec.shrink != 1 && format != model::ImageFormat::kJpeg) return DecodeOutcome::kUnsupported;
  switch (format) {
    case model::ImageFormat::kPng:
      return DecodePng(bytes, size, &canvas);
    case model::ImageFormat::kJpeg:
      return DecodeJpeg(bytes, size, spec, &canvas);
    case model::ImageFormat::kWebp:
      return DecodeWebp(bytes, size, &canvas);
    case model::ImageFormat::kGif:
      return DecodeGif(bytes, size, &canvas);
    case model::ImageFormat::kBmp:
      return DecodeBmp(bytes, size, &canvas);
  }
  return DecodeOutcome::kUnsupported;
}

}  // namespace headroom::vision_worker
