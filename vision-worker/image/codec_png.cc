#include <png.h>

#include <csetjmp>
#include <cstring>

#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {
namespace {

// libpng reports errors by longjmp. The functions with setjmp hold no object with a destructor; what must be freed
// lives in a caller's frame, which no jump crosses.

struct PngState {
  const uint8_t* bytes;
  size_t size;
  size_t at;
  Canvas* canvas;
  int channels = 3;  // of a row: 4 with alpha
  Buffer rows;       // a strip, or the whole picture when interlaced
  int top = 0;       // the first row that the canvas lacks; it is the first of `rows`
  bool complete = false;
  DecodeOutcome outcome = DecodeOutcome::kOk;
  std::jmp_buf fail = {};

  size_t row_bytes() const { return static_cast<size_t>(canvas->width()) * static_cast<size_t>(channels); }
};

// Whether the last row of the last pass is there, whatever follows it. Passes count from 0, 7 is behind the last.
bool HasAllRows(png_structp png, const PngState& state) {
  return png_get_current_pass_number(png) >= 7 ||
         (png_get_current_pass_number(png) == 0 &&
          png_get_current_row_number(png) >= static_cast<png_uint_32>(state.canvas->height()));
}

[[noreturn]] void FailPng(png_structp png, DecodeOutcome outcome) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  state->outcome = outcome;
  std::longjmp(state->fail, 1);
}

[[noreturn]] void OnPngError(png_structp png, png_const_charp /*message*/) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  state->complete = HasAllRows(png, *state);
  FailPng(png, DecodeOutcome::kCorrupt);
}

// The checksum over all pixels is wrong: zlib's words. libpng only warns when every row is there.
void OnPngWarning(png_structp png, png_const_charp message) {
  if (std::strstr(message, "incorrect data check") != nullptr) FailPng(png, DecodeOutcome::kCorrupt);
}

void ReadPngBytes(png_structp png, png_bytep to, size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (count > state->size - state->at) {
    state->complete = HasAllRows(png, *state);
    FailPng(png, DecodeOutcome::kTruncated);
  }
  std::memcpy(to, state->bytes + state->at, count);
  state->at += count;
}

// Asks libpng for 8-bit RGB rows, or RGBA rows where alpha can matter: returns the channels.
int SetPngTransforms(png_structp png, png_infop info, const Canvas& canvas) {
  const int colour = png_get_color_type(png, info);
  const int depth = png_get_bit_depth(png, info);
  const bool keyed = png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  const bool alpha = canvas.wants_alpha() && (keyed || (colour & PNG_COLOR_MASK_ALPHA) != 0);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (alpha && keyed) png_set_tRNS_to_alpha(png);
  if (depth == 16) png_set_strip_16(png);  // the high byte
  if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  if (!alpha) png_set_strip_alpha(png);  // after the palette's own alpha was expanded
  return alpha ? 4 : 3;
}

// Rows top … end − 1 go to the canvas.
void FlushPngRows(PngState* state, int end) {
  if (state->channels == 4) {
    state->canvas->PutRgba(state->top, end - state->top, state->rows.get());
  } else {
    state->canvas->PutRgb(state->top, end - state->top, state->rows.get());
  }
  state->top = end;
}

void ReadPngRows(png_structp png, png_infop info, PngState* state) {
  state->channels = SetPngTransforms(png, info, *state->canvas);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t row_bytes = state->row_bytes();
  if (png_get_rowbytes(png, info) != row_bytes) FailPng(png, DecodeOutcome::kUnsupported);
  const int height = state->canvas->height();
  const int kept = passes > 1 ? height : Canvas::kStripRows;
  state->rows = Allocate(row_bytes * static_cast<size_t>(kept));
  if (state->rows == nullptr) FailPng(png, DecodeOutcome::kNoMemory);
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < height; ++y) {
      if (y - state->top == kept) FlushPngRows(state, y);
      png_read_row(png, state->rows.get() + static_cast<size_t>(y - state->top) * row_bytes, nullptr);
    }
  }
  state->complete = true;
}

// What stands behind the last row is not read.
void RunPng(png_structp png, png_infop info, PngState* state) {
  if (setjmp(state->fail) != 0) return;
  // Text, profiles and the like are skipped unread: nothing in them is wanted, and some are compressed.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_user_limits(png, 65535, 65535);
  // Some encoders write a window that is too small; every other decoder takes it.
  png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
  png_set_read_fn(png, state, ReadPngBytes);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != static_cast<png_uint_32>(state->canvas->width()) ||
      png_get_image_height(png, info) != static_cast<png_uint_32>(state->canvas->height())) {
    FailPng(png, DecodeOutcome::kWrongSize);
  }
  // The pixels have a checksum of their own; a wrong one of a chunk alone is no damage to them.
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_NO_CHANGE);
  ReadPngRows(png, info, state);
}

}  // namespace

DecodeOutcome DecodePng(const uint8_t* bytes, size_t size, Canvas* canvas) {
  PngState state{.bytes = bytes, .size = size, .at = 0, .canvas = canvas, .rows = nullptr};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, OnPngError, OnPngWarning);
  if (png == nullptr) return DecodeOutcome::kNoMemory;
  png_infop info = png_create_info_struct(png);
  if (info != nullptr) {
    RunPng(png, info, &state);
  } else {
    state.outcome = DecodeOutcome::kNoMemory;
  }
  png_destroy_read_struct(&png, info != nullptr ? &info : nullptr, nullptr);
  if (!state.complete) return state.outcome;
  FlushPngRows(&state, canvas->height());
  return DecodeOutcome::kOk;
}

}  // namespace headroom::vision_worker
