#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {
namespace {

struct GifSource {
  const uint8_t* bytes;
  size_t size;
  size_t at = 0;
  bool ended = false;
};

// Behind the end of the file stands the length of a data block, 0, which ends any chain of them: a picture whose pixels
// are all there is shown without the rest. A block itself is not made up.
int ReadGifBytes(GifFileType* gif, GifByteType* to, int count) {
  auto* source = static_cast<GifSource*>(gif->UserData);
  const size_t wanted = count < 0 ? 0 : static_cast<size_t>(count);
  const size_t given = std::min(wanted, source->size - source->at);
  if (given > 0) std::memcpy(to, source->bytes + source->at, given);
  source->at += given;
  if (given == wanted) return count;
  source->ended = true;
  if (wanted != 1) return static_cast<int>(given);
  *to = 0;
  return 1;
}

class GifReader {
 public:
  GifReader(const uint8_t* bytes, size_t size) : source_{bytes, size} {
    int error = 0;
    gif_ = DGifOpen(&source_, ReadGifBytes, &error);
    if (gif_ == nullptr && error == D_GIF_ERR_NOT_ENOUGH_MEM) outcome_ = DecodeOutcome::kNoMemory;
  }
  ~GifReader() {
    if (gif_ != nullptr) DGifCloseFile(gif_, nullptr);
  }
  GifReader(const GifReader&) = delete;
  GifReader& operator=(const GifReader&) = delete;

  DecodeOutcome Decode(Canvas* canvas) {
    if (gif_ == nullptr || !SkipToFrame()) return Failure();
    const GifImageDesc& frame = gif_->Image;
    if (std::max<int64_t>(gif_->SWidth, int64_t{frame.Left} + frame.Width) != canvas->width() ||
        std::max<int64_t>(gif_->SHeight, int64_t{frame.Top} + frame.Height) != canvas->height()) {
      return DecodeOutcome::kWrongSize;
    }
    if (frame.Left < 0 || frame.Top < 0 || frame.Width < 1 || frame.Height < 1) return DecodeOutcome::kCorrupt;
    indices_ = Allocate(static_cast<size_t>(frame.Width) * frame.Height);
    if (indices_ == nullptr) return DecodeOutcome::kNoMemory;
    if (!ReadIndices()) return Failure();
    FillPalette();
    return Paint(canvas);
  }

 private:
  DecodeOutcome Failure() const {
    if (outcome_ != DecodeOutcome::kOk) return outcome_;
    if (gif_ != nullptr && gif_->Error == D_GIF_ERR_NOT_ENOUGH_MEM) return DecodeOutcome::kNoMemory;
    return source_.ended ? DecodeOutcome::kTruncated : DecodeOutcome::kCorrupt;
  }

  // Up to the first picture's pixels, noting which colour index is transparent.
  bool SkipToFrame() {
    for (;;) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      if (source_.ended || DGifGetRecordType(gif_, &type) != GIF_OK) return false;
      if (type == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif_) == GIF_OK;
      if (type != EXTENSION_RECORD_TYPE || !ReadExtension()) return false;
    }
  }

  bool ReadExtension() {
    int code = 0;
    GifByteType* block = nullptr;  // {length, bytes}
    if (DGifGetExtension(gif_, &code, &block) != GIF_OK) return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0) {
      transparent_ = block[4];
    }
    while (block != nullptr) {
      if (DGifGetExtensionNext(gif_, &block) != GIF_OK) return false;
    }
    return true;
  }

  bool ReadIndices() {
    const GifImageDesc& frame = gif_->Image;
    const auto row = [&](int y) { return indices_.get() + static_cast<size_t>(y) * frame.Width; };
    // GIF89a, appendix E: interlaced rows come in four passes.
    struct Pass {
      int first, step;
    };
    constexpr std::array<Pass, 4> kInterlaced = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
    constexpr std::array<Pass, 1> kPlain = {{{0, 1}}};
    const auto read = [&](const auto& passes) {
      for (const Pass& pass : passes) {
        for (int y = pass.first; y < frame.Height; y += pass.step) {
          if (DGifGetLine(gif_, row(y), frame.Width) != GIF_OK) return false;
        }
      }
      return true;
    };
    return frame.Interlace ? read(kInterlaced) : read(kPlain);
  }

  // A file without colours, and indices beyond its colours, are shades of grey.
  void FillPalette() {
    for (int i = 0; i < 256; ++i) palette_[i] = {uint8_t(i), uint8_t(i), uint8_t(i), 255};
    const ColorMapObject* map = gif_->Image.ColorMap != nullptr ? gif_->Image.ColorMap : gif_->SColorMap;
    for (int i = 0; map != nullptr && i < std::min(map->ColorCount, 256); ++i) {
      const GifColorType& colour = map->Colors[i];
      palette_[i] = {colour.Red, colour.Green, colour.Blue, 255};
    }
    if (transparent_ >= 0) palette_[transparent_][3] = 0;
  }

  // Beside the picture the screen has the transparent colour, or the first, as in Pillow.
  DecodeOutcome Paint(Canvas* canvas) const {
    const GifImageDesc& frame = gif_->Image;
    const auto width = static_cast<size_t>(canvas->width());
    const Buffer strip = Allocate(width * 4 * Canvas::kStripRows);
    if (strip == nullptr) return DecodeOutcome::kNoMemory;
    for (int top = 0; top < canvas->height(); top += Canvas::kStripRows) {
      const int rows = std::min(Canvas::kStripRows, canvas->height() - top);
      uint8_t* to = strip.get();
      for (int y = top; y < top + rows; ++y) {
        const bool inside = y >= frame.Top && y < frame.Top + frame.Height;
        for (int x = 0; x < canvas->width(); ++x, to += 4) {
          int index = std::max(transparent_, 0);
          if (inside && x >= frame.Left && x < frame.Left + frame.Width) {
            index = indices_[static_cast<size_t>(y - frame.Top) * frame.Width + (x - frame.Left)];
          }
          std::memcpy(to, palette_[index].data(), 4);
        }
      }
      canvas->PutRgba(top, rows, strip.get());
    }
    return DecodeOutcome::kOk;
  }

  GifSource source_;
  GifFileType* gif_ = nullptr;
  DecodeOutcome outcome_ = DecodeOutcome::kOk;
  int transparent_ = -1;
  Buffer indices_;  // of the first picture: one byte a pixel
  std::array<std::array<uint8_t, 4>, 256> palette_ = {};
};

}  // namespace

DecodeOutcome DecodeGif(const uint8_t* bytes, size_t size, Canvas* canvas) {
  return GifReader(bytes, size).Decode(canvas);
}

}  // namespace headroom::vision_worker
