#include "vision-worker/image/codec.h"

#include <jerror.h>  // needs jpeglib.h before it
#include <jpeglib.h>
#include <png.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

namespace headroom::vision_worker {
namespace {

// libpng and libjpeg report errors by longjmp. The functions with setjmp hold no object with a destructor; what must be
// freed lives in a caller's frame, which no jump crosses.

using Buffer = std::unique_ptr<uint8_t[]>;

Buffer Allocate(size_t bytes) { return Buffer(new (std::nothrow) uint8_t[bytes]); }

struct PngState {
  const uint8_t* bytes;
  size_t size;
  size_t at;
  int width;
  int height;
  uint8_t* out;
  Buffer grey16;  // rows of 16-bit grey: all of them when interlaced, else one
  DecodeOutcome outcome;
  std::jmp_buf fail;
};

[[noreturn]] void FailPng(png_structp png, DecodeOutcome outcome) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  if (state->outcome == DecodeOutcome::kOk) state->outcome = outcome;
  std::longjmp(state->fail, 1);
}

[[noreturn]] void OnPngError(png_structp png, png_const_charp /*message*/) { FailPng(png, DecodeOutcome::kCorrupt); }

void OnPngWarning(png_structp /*png*/, png_const_charp /*message*/) {}

void ReadPngBytes(png_structp png, png_bytep to, size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (count > state->size - state->at) FailPng(png, DecodeOutcome::kTruncated);
  std::memcpy(to, state->bytes + state->at, count);
  state->at += count;
}

// Pillow's conversion of mode I;16: values above 255 saturate.
void NarrowGrey(const uint8_t* row, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    uint8_t value = row[2 * x] != 0 ? 255 : row[2 * x + 1];  // big endian
    std::fill_n(out + 3 * x, 3, value);
  }
}

// Asks libpng for 8-bit RGB rows, or 16-bit grey rows (true).
bool SetPngTransforms(png_structp png, png_infop info) {
  const int colour = png_get_color_type(png, info);
  const int depth = png_get_bit_depth(png, info);
  if (colour == PNG_COLOR_TYPE_GRAY && depth == 16) return true;
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (depth == 16) png_set_strip_16(png);
  if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);  // after the palette's own alpha was expanded
  return false;
}

void ReadPngRows(png_structp png, png_infop info, PngState* state) {
  const bool grey16 = SetPngTransforms(png, info);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t width = state->width;
  const size_t row_bytes = width * (grey16 ? 2 : 3);
  if (png_get_rowbytes(png, info) != row_bytes) FailPng(png, DecodeOutcome::kUnsupported);
  if (grey16) {
    state->grey16 = Allocate(row_bytes * (passes > 1 ? state->height : 1));
    if (state->grey16 == nullptr) FailPng(png, DecodeOutcome::kNoMemory);
  }
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < state->height; ++y) {
      uint8_t* out = state->out + y * width * 3;
      uint8_t* row = grey16 ? state->grey16.get() + (passes > 1 ? y * row_bytes : 0) : out;
      png_read_row(png, row, nullptr);
      if (grey16 && pass == passes - 1) NarrowGrey(row, state->width, out);
    }
  }
  png_read_end(png, nullptr);
}

void RunPng(png_structp png, png_infop info, PngState* state) {
  if (setjmp(state->fail) != 0) return;
  // Text, profiles and the like are skipped unread: nothing in them is wanted, and some are compressed.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_user_limits(png, 65535, 65535);
  png_set_read_fn(png, state, ReadPngBytes);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != static_cast<png_uint_32>(state->width) ||
      png_get_image_height(png, info) != static_cast<png_uint_32>(state->height)) {
    FailPng(png, DecodeOutcome::kWrongSize);
  }
  ReadPngRows(png, info, state);
}

DecodeOutcome DecodePng(const uint8_t* bytes, size_t size, int width, int height, uint8_t* out) {
  PngState state{bytes, size, 0, width, height, out, nullptr, DecodeOutcome::kOk, {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, OnPngError, OnPngWarning);
  if (png == nullptr) return DecodeOutcome::kNoMemory;
  png_infop info = png_create_info_struct(png);
  if (info != nullptr) {
    RunPng(png, info, &state);
  } else {
    state.outcome = DecodeOutcome::kNoMemory;
  }
  png_destroy_read_struct(&png, info != nullptr ? &info : nullptr, nullptr);
  return state.outcome;
}

// A progressive file may repeat scans without end, each as costly as a whole picture. Real encoders use about ten.
constexpr int kJpegScansMax = 256;

struct JpegState {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  int width;
  int height;
  uint8_t* out;
  Buffer cmyk;  // one row
  DecodeOutcome outcome;
  std::jmp_buf fail;
};

JpegState* StateOf(j_common_ptr info) { return static_cast<JpegState*>(info->client_data); }
JpegState* StateOf(j_decompress_ptr info) { return static_cast<JpegState*>(info->client_data); }

[[noreturn]] void FailJpeg(JpegState* state, DecodeOutcome outcome) {
  if (state->outcome == DecodeOutcome::kOk) state->outcome = outcome;
  std::longjmp(state->fail, 1);
}

[[noreturn]] void OnJpegError(j_common_ptr info) {
  FailJpeg(StateOf(info),
           info->err->msg_code == JERR_OUT_OF_MEMORY ? DecodeOutcome::kNoMemory : DecodeOutcome::kCorrupt);
}

// Level −1 is a warning: the library goes on with made-up data. Where coefficients are missing, the picture is
// truncated.
void OnJpegMessage(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_HIT_MARKER) FailJpeg(StateOf(info), DecodeOutcome::kTruncated);
}

void DropJpegText(j_common_ptr /*info*/) {}
void StartJpegSource(j_decompress_ptr /*info*/) {}
boolean OnJpegDataEnd(j_decompress_ptr info) { FailJpeg(StateOf(info), DecodeOutcome::kTruncated); }

void SkipJpegBytes(j_decompress_ptr info, long count) {  // NOLINT(runtime/int): libjpeg's type
  if (count <= 0) return;
  if (static_cast<size_t>(count) > info->src->bytes_in_buffer) FailJpeg(StateOf(info), DecodeOutcome::kTruncated);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= count;
}

void OnJpegProgress(j_common_ptr info) {
  if (StateOf(info)->info.input_scan_number > kJpegScansMax) FailJpeg(StateOf(info), DecodeOutcome::kUnsupported);
}

// a·b / 255, rounded, as Pillow computes it.
int MultiplyBytes(int a, int b) {
  int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// The stored samples are inverted inks (255 = none).
void CmykToRgb(const uint8_t* row, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    const int light = row[4 * x + 3];
    for (int ink = 0; ink < 3; ++ink) {
      out[3 * x + ink] = static_cast<uint8_t>(std::clamp(light - MultiplyBytes(255 - row[4 * x + ink], light), 0, 255));
    }
  }
}

void RunJpeg(JpegState* state) {
  if (setjmp(state->fail) != 0) return;
  jpeg_decompress_struct* info = &state->info;
  jpeg_create_decompress(info);
  info->client_data = state;
  info->src = &state->source;
  info->progress = &state->progress;
  jpeg_read_header(info, TRUE);
  if (info->image_width != static_cast<JDIMENSION>(state->width) ||
      info->image_height != static_cast<JDIMENSION>(state->height)) {
    FailJpeg(state, DecodeOutcome::kWrongSize);
  }
  const int components = info->num_components;
  if (components != 1 && components != 3 && components != 4) FailJpeg(state, DecodeOutcome::kUnsupported);
  info->out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
  if (components == 4) {
    state->cmyk = Allocate(static_cast<size_t>(state->width) * 4);
    if (state->cmyk == nullptr) FailJpeg(state, DecodeOutcome::kNoMemory);
  }
  jpeg_start_decompress(info);
  while (info->output_scanline < info->output_height) {
    uint8_t* out = state->out + static_cast<size_t>(info->output_scanline) * state->width * 3;
    uint8_t* row = components == 4 ? state->cmyk.get() : out;
    jpeg_read_scanlines(info, &row, 1);
    if (components == 4) CmykToRgb(row, state->width, out);
  }
  jpeg_finish_decompress(info);
}

DecodeOutcome DecodeJpeg(const uint8_t* bytes, size_t size, int width, int height, uint8_t* out) {
  auto state = std::unique_ptr<JpegState>(new (std::nothrow) JpegState());
  if (state == nullptr) return DecodeOutcome::kNoMemory;
  state->width = width;
  state->height = height;
  state->out = out;
  state->outcome = DecodeOutcome::kOk;
  state->info.err = jpeg_std_error(&state->errors);
  state->info.client_data = state.get();
  state->errors.error_exit = OnJpegError;
  state->errors.emit_message = OnJpegMessage;
  state->errors.output_message = DropJpegText;
  state->source.next_input_byte = bytes;
  state->source.bytes_in_buffer = size;
  state->source.init_source = StartJpegSource;
  state->source.fill_input_buffer = OnJpegDataEnd;
  state->source.skip_input_data = SkipJpegBytes;
  state->source.resync_to_restart = jpeg_resync_to_restart;
  state->source.term_source = StartJpegSource;
  state->progress.progress_monitor = OnJpegProgress;
  RunJpeg(state.get());
  jpeg_destroy_decompress(&state->info);
  return state->outcome;
}

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

DecodeOutcome DecodeWebpFrame(const WebPIterator& frame, int width, int height, uint8_t* out) {
  if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width < 1 || frame.height < 1 ||
      frame.x_offset > width - frame.width || frame.y_offset > height - frame.height) {
    return DecodeOutcome::kCorrupt;
  }
  const size_t stride = static_cast<size_t>(width) * 3;
  const size_t total = stride * height;
  // The first frame of an animation may cover only a part of the canvas; the rest is transparent black.
  if (frame.width != width || frame.height != height) std::memset(out, 0, total);
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return DecodeOutcome::kUnsupported;
  VP8StatusCode status = WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &config.input);
  if (status != VP8_STATUS_OK) return OutcomeOf(status);
  if (config.input.width != frame.width || config.input.height != frame.height) return DecodeOutcome::kCorrupt;
  const size_t offset = frame.y_offset * stride + static_cast<size_t>(frame.x_offset) * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out + offset;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = total - offset;
  status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  return OutcomeOf(status);
}

DecodeOutcome DecodeWebp(const uint8_t* bytes, size_t size, int width, int height, uint8_t* out) {
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
  if (WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH) != static_cast<uint32_t>(width) ||
      WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT) != static_cast<uint32_t>(height)) {
    outcome = DecodeOutcome::kWrongSize;
  } else if (WebPDemuxGetFrame(demuxer, 1, &frame) != 0) {
    outcome = DecodeWebpFrame(frame, width, height, out);
    WebPDemuxReleaseIterator(&frame);
  }
  WebPDemuxDelete(demuxer);
  return outcome;
}

}  // namespace

DecodeOutcome DecodeImage(model::ImageFormat format, const uint8_t* bytes, size_t size, int width, int height,
                          uint8_t* out) {
  switch (format) {
    case model::ImageFormat::kPng:
      return DecodePng(bytes, size, width, height, out);
    case model::ImageFormat::kJpeg:
      return DecodeJpeg(bytes, size, width, height, out);
    case model::ImageFormat::kWebp:
      return DecodeWebp(bytes, size, width, height, out);
  }
  return DecodeOutcome::kUnsupported;
}

}  // namespace headroom::vision_worker
