#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>

#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {
namespace {

DecodeOutcome OutcomeOf(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OK:
      return DecodeOutcome::kOk;
    case VP8_STATUS_OUT_OF_MEMORY:
      return DecodeOutcome::kNoMemory;
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return DecodeOutcome::kUnsupported;
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return DecodeOutcome::kTruncated;
    default:
      return DecodeOutcome::kCorrupt;
  }
}

// Decodes `frame` into `pixels`, of the whole canvas: `channels` bytes a pixel.
DecodeOutcome DecodeFrame(const WebPIterator& frame, WebPDecoderConfig* config, const Canvas& canvas, int channels,
                          uint8_t* pixels) {
  const size_t stride = static_cast<size_t>(canvas.width()) * channels;
  const size_t total = stride * canvas.height();
  // The first frame of an animation may cover only a part of the canvas; the rest is transparent black.
  if (frame.width != canvas.width() || frame.height != canvas.height()) std::memset(pixels, 0, total);
  const size_t offset = frame.y_offset * stride + static_cast<size_t>(frame.x_offset) * channels;
  config->output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config->output.is_external_memory = 1;
  config->output.u.RGBA.rgba = pixels + offset;
  config->output.u.RGBA.stride = static_cast<int>(stride);
  config->output.u.RGBA.size = total - offset;
  const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, config);
  WebPFreeDecBuffer(&config->output);
  return OutcomeOf(status);
}

DecodeOutcome DecodeFirst(const WebPIterator& frame, Canvas* canvas) {
  const int width = canvas->width();
  const int height = canvas->height();
  if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width < 1 || frame.height < 1 ||
      frame.x_offset > width - frame.width || frame.y_offset > height - frame.height) {
    return DecodeOutcome::kCorrupt;
  }
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return DecodeOutcome::kUnsupported;
  VP8StatusCode status = WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &config.input);
  if (status != VP8_STATUS_OK) return OutcomeOf(status);
  if (config.input.width != frame.width || config.input.height != frame.height) return DecodeOutcome::kCorrupt;
  const bool whole = frame.width == width && frame.height == height;
  const bool alpha = canvas->wants_alpha() && (config.input.has_alpha != 0 || !whole);
  if (!alpha && canvas->Direct() != nullptr) return DecodeFrame(frame, &config, *canvas, 3, canvas->Direct());
  const int channels = alpha ? 4 : 3;
  const Buffer pixels = Allocate(static_cast<size_t>(width) * height * channels);
  if (pixels == nullptr) return DecodeOutcome::kNoMemory;
  const DecodeOutcome outcome = DecodeFrame(frame, &config, *canvas, channels, pixels.get());
  if (outcome != DecodeOutcome::kOk) return outcome;
  if (alpha) {
    canvas->PutRgba(0, height, pixels.get());
  } else {
    canvas->PutRgb(0, height, pixels.get());
  }
  return DecodeOutcome::kOk;
}

}  // namespace

DecodeOutcome DecodeWebp(const uint8_t* bytes, size_t size, Canvas* canvas) {
  WebPData data{bytes, size};
  WebPDemuxState demux_state;
  WebPDemuxer* demuxer = WebPDemuxPartial(&data, &demux_state);
  if (demuxer == nullptr || demux_state != WEBP_DEMUX_DONE) {
    bool malformed = demux_state == WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxDelete(demuxer);
    return malformed ? DecodeOutcome::kCorrupt : DecodeOutcome::kTruncated;
  }
  DecodeOutcome outcome = DecodeOutcome::kCorrupt;
  WebPIterator frame;
  if (WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH) != static_cast<uint32_t>(canvas->width()) ||
      WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT) != static_cast<uint32_t>(canvas->height())) {
    outcome = DecodeOutcome::kWrongSize;
  } else if (WebPDemuxGetFrame(demuxer, 1, &frame) != 0) {
    outcome = DecodeFirst(frame, canvas);
    WebPDemuxReleaseIterator(&frame);
  }
  WebPDemuxDelete(demuxer);
  return outcome;
}

}  // namespace headroom::vision_worker
