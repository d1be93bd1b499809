// The library leaves it to its user to include <cstdio> first, and its errors last.
// clang-format off
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <csetjmp>

#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {
namespace {

// libjpeg reports errors by longjmp. The function with setjmp holds no object with a destructor; what must be freed
// lives in a caller's frame, which no jump crosses.

// A progressive file may repeat scans without end, each as costly as a whole picture. Real encoders use about ten.
constexpr int kScansMax = 256;

struct JpegState {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  const DecodeSpec* spec;
  Canvas* canvas;
  Buffer rgb;                // a strip
  Buffer cmyk;               // one row
  bool in_scans;             // the header is read
  bool ended;                // the file had no end marker: libjpeg was given one
  uint32_t components_seen;  // bit i: a scan of component i began
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
  JpegState* state = StateOf(info);
  if (info->err->msg_code == JERR_OUT_OF_MEMORY) FailJpeg(state, DecodeOutcome::kNoMemory);
  FailJpeg(state, state->ended ? DecodeOutcome::kTruncated : DecodeOutcome::kCorrupt);
}

// Level −1 is a warning: the library goes on with made-up data, which people would see as well. Where bits are missing,
// that is so in a file that was closed (its end is grey), unless hardly anything is there.
void OnJpegMessage(j_common_ptr common, int level) {
  if (level >= 0 || common->err->msg_code != JWRN_HIT_MARKER) return;
  JpegState* state = StateOf(common);
  const jpeg_decompress_struct& info = state->info;
  const bool before_first_row = info.input_scan_number <= 1 && info.input_iMCU_row == 0 && info.total_iMCU_rows > 1;
  if (state->ended || before_first_row) FailJpeg(state, DecodeOutcome::kTruncated);
}

void DropJpegText(j_common_ptr /*info*/) {}
void StartJpegSource(j_decompress_ptr /*info*/) {}

// Some cameras and cut downloads leave the end marker out. As libjpeg's own source does: put it there, once.
boolean OnJpegDataEnd(j_decompress_ptr info) {
  static constexpr JOCTET kEnd[] = {0xFF, JPEG_EOI};
  JpegState* state = StateOf(info);
  if (!state->in_scans || state->ended) FailJpeg(state, DecodeOutcome::kTruncated);
  state->ended = true;
  info->src->next_input_byte = kEnd;
  info->src->bytes_in_buffer = sizeof(kEnd);
  return TRUE;
}

void SkipJpegBytes(j_decompress_ptr info, long count) {  // NOLINT(runtime/int): libjpeg's type
  if (count <= 0) return;
  if (static_cast<size_t>(count) > info->src->bytes_in_buffer) FailJpeg(StateOf(info), DecodeOutcome::kTruncated);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= count;
}

void OnJpegProgress(j_common_ptr common) {
  JpegState* state = StateOf(common);
  const jpeg_decompress_struct& info = state->info;
  if (info.input_scan_number > kScansMax) FailJpeg(state, DecodeOutcome::kUnsupported);
  for (int i = 0; i < info.comps_in_scan; ++i) state->components_seen |= 1U << info.cur_comp_info[i]->component_index;
}

// Of a file without an end marker: whether everything was there before. Missing bits of a scan were noticed; here it is
// about missing scans.
bool IsComplete(const JpegState& state) {
  const jpeg_decompress_struct& info = state.info;
  // Its coder leaves zeros out at the end, so that nobody can tell.
  if (info.arith_code) return false;
  if (state.components_seen + 1 != 1U << info.num_components) return false;
  if (info.coef_bits == nullptr) return true;
  for (int component = 0; component < info.num_components; ++component) {
    for (int i = 0; i < DCTSIZE2; ++i) {
      if (info.coef_bits[component][i] != 0) return false;  // −1: never sent; above: lower bits are missing
    }
  }
  return true;
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

void ReadJpegRows(JpegState* state) {
  jpeg_decompress_struct* info = &state->info;
  const bool inks = info->num_components == 4;
  const int width = state->canvas->width();
  const size_t row_bytes = static_cast<size_t>(width) * 3;
  while (info->output_scanline < info->output_height) {
    const auto top = static_cast<int>(info->output_scanline);
    int rows = 0;
    while (rows < Canvas::kStripRows && info->output_scanline < info->output_height) {
      uint8_t* rgb = state->rgb.get() + static_cast<size_t>(rows) * row_bytes;
      uint8_t* row = inks ? state->cmyk.get() : rgb;
      jpeg_read_scanlines(info, &row, 1);
      if (inks) CmykToRgb(row, width, rgb);
      ++rows;
    }
    state->canvas->PutRgb(top, rows, state->rgb.get());
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
  const model::ImageHeader& header = state->spec->header;
  if (info->image_width != static_cast<JDIMENSION>(header.stored_width()) ||
      info->image_height != static_cast<JDIMENSION>(header.stored_height())) {
    FailJpeg(state, DecodeOutcome::kWrongSize);
  }
  const int components = info->num_components;
  if (components != 1 && components != 3 && components != 4) FailJpeg(state, DecodeOutcome::kUnsupported);
  info->out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
  info->scale_num = 1;
  info->scale_denom = static_cast<unsigned int>(state->spec->shrink);
  const auto width = static_cast<size_t>(state->canvas->width());
  state->rgb = Allocate(width * 3 * Canvas::kStripRows);
  if (components == 4) state->cmyk = Allocate(width * 4);
  if (state->rgb == nullptr || (components == 4 && state->cmyk == nullptr)) FailJpeg(state, DecodeOutcome::kNoMemory);
  state->in_scans = true;
  jpeg_start_decompress(info);
  if (info->output_width != width || info->output_height != static_cast<JDIMENSION>(state->canvas->height())) {
    FailJpeg(state, DecodeOutcome::kWrongSize);
  }
  ReadJpegRows(state);
  const bool complete = IsComplete(*state);  // jpeg_finish_decompress frees what tells
  jpeg_finish_decompress(info);              // reads up to the end marker, which may be missing
  if (state->ended && !complete) FailJpeg(state, DecodeOutcome::kTruncated);
}

}  // namespace

DecodeOutcome DecodeJpeg(const uint8_t* bytes, size_t size, const DecodeSpec& spec, Canvas* canvas) {
  auto state = std::unique_ptr<JpegState>(new (std::nothrow) JpegState());
  if (state == nullptr) return DecodeOutcome::kNoMemory;
  state->spec = &spec;
  state->canvas = canvas;
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

}  // namespace headroom::vision_worker
