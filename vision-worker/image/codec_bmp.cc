#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "model/image/bmp_header.h"
#include "vision-worker/image/codec_formats.h"

namespace headroom::vision_worker {
namespace {

using Rgba = std::array<uint8_t, 4>;

// One channel of 16- and 32-bit pixels, stretched to 0 … 255 as Pillow does: rounded down.
struct Channel {
  explicit Channel(uint32_t bits) : mask(bits), shift(bits == 0 ? 0 : std::countr_zero(bits)), most(bits >> shift) {}
  uint8_t Of(uint32_t pixel, uint8_t absent) const {
    if (mask == 0) return absent;
    return static_cast<uint8_t>(uint64_t{(pixel & mask) >> shift} * 255 / most);
  }
  uint32_t mask;
  int shift;
  uint32_t most;
};

class BmpReader {
 public:
  BmpReader(const model::FileBytes& file, const model::BmpHeader& header) : file_(file), header_(header) {}

  DecodeOutcome Decode(Canvas* canvas) {
    const bool coded = header_.coding != model::BmpCoding::kRaw;
    if (coded) {
      if (const DecodeOutcome outcome = ReadRuns(); outcome != DecodeOutcome::kOk) return outcome;
    } else if (!file_.Has(header_.pixel_offset, static_cast<size_t>(header_.row_bytes() * header_.height))) {
      return DecodeOutcome::kTruncated;
    }
    FillPalette();
    opaque_ = !HasAlpha();
    const auto width = static_cast<size_t>(header_.width);
    const Buffer strip = Allocate(width * 4 * Canvas::kStripRows);
    if (strip == nullptr) return DecodeOutcome::kNoMemory;
    for (int top = 0; top < canvas->height(); top += Canvas::kStripRows) {
      const int rows = std::min(Canvas::kStripRows, canvas->height() - top);
      for (int row = 0; row < rows; ++row) {
        const int64_t y = top + row;
        uint8_t* to = strip.get() + static_cast<size_t>(row) * width * 4;
        ReadRow(header_.top_down ? y : header_.height - 1 - y, to);
      }
      canvas->PutRgba(top, rows, strip.get());
    }
    return DecodeOutcome::kOk;
  }

 private:
  void FillPalette() {
    for (int i = 0; i < 256; ++i) palette_[i] = {uint8_t(i), uint8_t(i), uint8_t(i), 255};
    for (int i = 0; i < header_.palette_entries; ++i) {
      const size_t at = header_.palette_offset + static_cast<size_t>(i) * header_.palette_entry_bytes;
      palette_[i] = {uint8_t(file_.U8(at + 2)), uint8_t(file_.U8(at + 1)), uint8_t(file_.U8(at)), 255};
    }
  }

  size_t RowOffset(int64_t stored_row) const {
    return header_.pixel_offset + static_cast<size_t>(stored_row * header_.row_bytes());
  }

  // Writers that fill an alpha channel with zeros mean no transparency; browsers read it so.
  bool HasAlpha() const {
    if (header_.bits <= 8 || header_.masks[3] == 0) return false;
    if (header_.bits != 32) return true;
    for (int64_t y = 0; y < header_.height; ++y) {
      const size_t row = RowOffset(y);
      for (int64_t x = 0; x < header_.width; ++x) {
        if ((file_.Le32(row + static_cast<size_t>(4 * x)) & header_.masks[3]) != 0) return true;
      }
    }
    return false;
  }

  // A row as the file counts them: the first is the lowest, or the highest when top-down.
  void ReadRow(int64_t stored_row, uint8_t* to) const {
    const Channel red(header_.masks[0]), green(header_.masks[1]), blue(header_.masks[2]), alpha(header_.masks[3]);
    const size_t row = RowOffset(stored_row);
    for (int64_t x = 0; x < header_.width; ++x, to += 4) {
      Rgba pixel;
      if (header_.bits <= 8) {
        pixel = palette_[Index(stored_row, row, x)];
      } else {
        const size_t at = row + static_cast<size_t>(x) * static_cast<size_t>(header_.bits / 8);
        const uint32_t bits = header_.bits == 16   ? file_.Le16(at)
                              : header_.bits == 24 ? file_.Le24(at)
                                                   : file_.Le32(at);
        pixel = {red.Of(bits, 0), green.Of(bits, 0), blue.Of(bits, 0), opaque_ ? uint8_t{255} : alpha.Of(bits, 255)};
      }
      std::memcpy(to, pixel.data(), 4);
    }
  }

  uint32_t Index(int64_t stored_row, size_t row, int64_t x) const {
    if (indices_ != nullptr) return indices_[static_cast<size_t>(stored_row * header_.width + x)];
    const int per_byte = 8 / header_.bits;
    const uint32_t byte = file_.U8(row + static_cast<size_t>(x / per_byte));
    const auto shift = static_cast<uint32_t>((per_byte - 1 - x % per_byte) * header_.bits);
    return byte >> shift & ((1U << header_.bits) - 1);
  }

  // Runs of {count, index} or, with count 0, {end of row}, {end}, {move}, {count, that many indices}. What no run
  // touches has index 0. What reaches beyond a row is left out.
  DecodeOutcome ReadRuns() {
    const auto pixels = static_cast<size_t>(header_.width * header_.height);
    indices_ = Allocate(pixels);
    if (indices_ == nullptr) return DecodeOutcome::kNoMemory;
    std::memset(indices_.get(), 0, pixels);
    const bool nibbles = header_.coding == model::BmpCoding::kRle4;
    size_t at = header_.pixel_offset;
    int64_t x = 0, y = 0;
    while (y < header_.height) {
      if (!file_.Has(at, 2)) return DecodeOutcome::kTruncated;
      const uint32_t count = file_.U8(at);
      const uint32_t value = file_.U8(at + 1);
      at += 2;
      if (count > 0) {
        const auto inside = static_cast<uint32_t>(std::clamp<int64_t>(header_.width - x, 0, count));
        for (uint32_t i = 0; i < inside; ++i) Set(x + i, y, nibbles ? (i % 2 == 0 ? value >> 4 : value & 15) : value);
        x += count;
      } else if (value == 0) {
        x = 0;
        ++y;
      } else if (value == 1) {
        break;
      } else if (value == 2) {
        if (!file_.Has(at, 2)) return DecodeOutcome::kTruncated;
        x += file_.U8(at);
        y += file_.U8(at + 1);
        at += 2;
      } else {
        const size_t bytes = nibbles ? (value + 1) / 2 : value;
        if (!file_.Has(at, bytes)) return DecodeOutcome::kTruncated;
        for (uint32_t i = 0; i < value; ++i) {
          const uint32_t byte = file_.U8(at + (nibbles ? i / 2 : i));
          Set(x++, y, nibbles ? (i % 2 == 0 ? byte >> 4 : byte & 15) : byte);
        }
        at += bytes + bytes % 2;
      }
      // The last row needs no end.
      if (y == header_.height - 1 && x >= header_.width) break;
    }
    return DecodeOutcome::kOk;
  }

  void Set(int64_t x, int64_t y, uint32_t index) {
    if (x < header_.width) indices_[static_cast<size_t>(y * header_.width + x)] = static_cast<uint8_t>(index);
  }

  const model::FileBytes& file_;
  const model::BmpHeader& header_;
  std::array<Rgba, 256> palette_ = {};
  Buffer indices_;  // of run lengths: one byte a pixel, rows as the file counts them
  bool opaque_ = true;
};

}  // namespace

DecodeOutcome DecodeBmp(const uint8_t* bytes, size_t size, Canvas* canvas) {
  const model::FileBytes file(std::string_view(reinterpret_cast<const char*>(bytes), size));
  if (!file.Is(0, "BM")) return size < 2 ? DecodeOutcome::kTruncated : DecodeOutcome::kCorrupt;
  const auto header = model::ReadBmpHeader(file);
  if (!header.ok()) return DecodeOutcome::kCorrupt;
  if (header->width != canvas->width() || header->height != canvas->height()) return DecodeOutcome::kWrongSize;
  return BmpReader(file, *header).Decode(canvas);
}

}  // namespace headroom::vision_worker
