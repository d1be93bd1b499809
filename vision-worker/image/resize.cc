#include "vision-worker/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "common/arith.h"
#include "common/check.h"

namespace headroom::vision_worker {
namespace {

constexpr int kFractionBits = 22;                    // of a fixed-point weight
constexpr int32_t kHalf = 1 << (kFractionBits - 1);  // accumulators start here: rounding of the final shift
constexpr double kSupport = 2.0;                     // of the cubic, in output pixels
constexpr int kStripRows = 8;                        // rows of the horizontal pass that are computed together
constexpr int kStripBytes = kStripRows * 3;
constexpr int kVerticalLanes = 32;  // bytes of a row per round

typedef int32_t Int8 __attribute__((vector_size(32)));  // NOLINT: vector types have no other spelling
typedef uint8_t Byte8 __attribute__((vector_size(8)));  // NOLINT

// Keys' cubic with a = −0.5. The order of operations is part of the contract: weights are rounded from these doubles.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

struct Scale {
  explicit Scale(int in, int out) : step(static_cast<double>(in) / out), filter(std::max(step, 1.0)) {}
  double support() const { return kSupport * filter; }
  double step;    // input pixels per output pixel
  double filter;  // the kernel widens with it when shrinking, and never narrows
};

// Most input pixels that one output pixel reads.
int TapsMax(int in, int out) {
  double window = 2 * std::ceil(Scale(in, out).support()) + 1;
  return static_cast<int>(std::min(window, static_cast<double>(in)));
}

// Input range of each output pixel and its weights.
class WeightTable {
 public:
  WeightTable(int in, int out) : stride_(TapsMax(in, out)) {
    first_.resize(out);
    count_.resize(out);
    weights_.assign(static_cast<size_t>(out) * stride_, 0);
    std::vector<double> exact(stride_);
    Scale scale(in, out);
    for (int i = 0; i < out; ++i) Fill(i, in, scale, exact);
  }

  int first(int i) const { return first_[i]; }
  int count(int i) const { return count_[i]; }
  const int32_t* weights(int i) const { return weights_.data() + static_cast<size_t>(i) * stride_; }

 private:
  void Fill(int i, int in, const Scale& scale, std::vector<double>& exact) {
    double centre = (i + 0.5) * scale.step;
    double shrink = 1.0 / scale.filter;
    int first = std::max(static_cast<int>(centre - scale.support() + 0.5), 0);
    int count = std::min(static_cast<int>(centre + scale.support() + 0.5), in) - first;
    double sum = 0;
    for (int tap = 0; tap < count; ++tap) {
      exact[tap] = Cubic((tap + first - centre + 0.5) * shrink);
      sum += exact[tap];
    }
    int32_t* weight = weights_.data() + static_cast<size_t>(i) * stride_;
    for (int tap = 0; tap < count; ++tap) {
      double normal = sum != 0 ? exact[tap] / sum : exact[tap];
      weight[tap] = static_cast<int32_t>((normal < 0 ? -0.5 : 0.5) + normal * (1 << kFractionBits));
    }
    first_[i] = first;
    count_[i] = count;
  }

  int stride_;
  std::vector<int32_t> first_;
  std::vector<int32_t> count_;
  std::vector<int32_t> weights_;
};

// Sums are exact integers, so their order, and with it the instruction set, cannot change a result. The bodies are
// compiled twice.
#define HEADROOM_INLINE inline __attribute__((always_inline))

HEADROOM_INLINE void MultiplyAdd(Int8& sum, const uint8_t* bytes, int32_t weight) {
  Byte8 narrow;
  std::memcpy(&narrow, bytes, sizeof(narrow));
  sum += __builtin_convertvector(narrow, Int8) * weight;
}

HEADROOM_INLINE void StoreBytes(const Int8& sum, uint8_t* out) {
  Int8 value = sum >> kFractionBits;
  value = value < 0 ? Int8{} : value;
  value = value > 255 ? Int8{} + 255 : value;
  Byte8 narrow = __builtin_convertvector(value, Byte8);
  std::memcpy(out, &narrow, sizeof(narrow));
}

// Eight rows side by side: strip[x] holds pixel x of each row, 24 bytes. So a weight meets 24 samples at once, for any
// channel count of a tap, and nothing has to be summed across lanes.
HEADROOM_INLINE void InterleaveBody(const uint8_t* const* rows, int width, uint8_t* strip) {
  for (int x = 0; x < width - 1; ++x) {
    // Four bytes at a time; the fourth is overwritten by the next copy.
    for (int row = 0; row < kStripRows; ++row) std::memcpy(strip + x * kStripBytes + row * 3, rows[row] + x * 3, 4);
  }
  const int last = width - 1;
  for (int row = 0; row < kStripRows; ++row) std::memcpy(strip + last * kStripBytes + row * 3, rows[row] + last * 3, 3);
}

// out[row] has room for one byte more than out_width pixels.
HEADROOM_INLINE void HorizontalBody(const uint8_t* strip, const WeightTable& table, int out_width,
                                    uint8_t* const* out) {
  for (int x = 0; x < out_width; ++x) {
    const uint8_t* bytes = strip + static_cast<size_t>(table.first(x)) * kStripBytes;
    const int32_t* weights = table.weights(x);
    Int8 sums[3] = {Int8{} + kHalf, Int8{} + kHalf, Int8{} + kHalf};
    for (int tap = 0; tap < table.count(x); ++tap, bytes += kStripBytes) {
      for (int part = 0; part < 3; ++part) MultiplyAdd(sums[part], bytes + part * 8, weights[tap]);
    }
    uint8_t pixels[kStripBytes + 1] = {};
    for (int part = 0; part < 3; ++part) StoreBytes(sums[part], pixels + part * 8);
    for (int row = 0; row < kStripRows; ++row) std::memcpy(out[row] + static_cast<size_t>(x) * 3, pixels + row * 3, 4);
  }
}

// `bytes` of each row meet its weight.
HEADROOM_INLINE void VerticalBody(const uint8_t* const* rows, const int32_t* weights, int count, int64_t bytes,
                                  uint8_t* out) {
  int64_t at = 0;
  for (; at + kVerticalLanes <= bytes; at += kVerticalLanes) {
    Int8 sums[4];
    for (Int8& sum : sums) sum = Int8{} + kHalf;
    for (int tap = 0; tap < count; ++tap) {
      for (int part = 0; part < 4; ++part) MultiplyAdd(sums[part], rows[tap] + at + part * 8, weights[tap]);
    }
    for (int part = 0; part < 4; ++part) StoreBytes(sums[part], out + at + part * 8);
  }
  for (; at < bytes; ++at) {
    int32_t sum = kHalf;
    for (int tap = 0; tap < count; ++tap) sum += rows[tap][at] * weights[tap];
    out[at] = static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
  }
}

struct Kernels {
  void (*interleave)(const uint8_t* const*, int, uint8_t*);
  void (*horizontal)(const uint8_t*, const WeightTable&, int, uint8_t* const*);
  void (*vertical)(const uint8_t* const*, const int32_t*, int, int64_t, uint8_t*);
};

#define HEADROOM_KERNELS(suffix, attribute)                                                                     \
  attribute void Interleave##suffix(const uint8_t* const* rows, int width, uint8_t* strip) {                    \
    InterleaveBody(rows, width, strip);                                                                         \
  }                                                                                                             \
  attribute void Horizontal##suffix(const uint8_t* strip, const WeightTable& table, int out_width,              \
                                    uint8_t* const* out) {                                                      \
    HorizontalBody(strip, table, out_width, out);                                                               \
  }                                                                                                             \
  attribute void Vertical##suffix(const uint8_t* const* rows, const int32_t* weights, int count, int64_t bytes, \
                                  uint8_t* out) {                                                               \
    VerticalBody(rows, weights, count, bytes, out);                                                             \
  }

HEADROOM_KERNELS(Base, )
#if defined(__x86_64__)
HEADROOM_KERNELS(Avx2, __attribute__((target("avx2"))))
#endif

Kernels ChooseKernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return {InterleaveAvx2, HorizontalAvx2, VerticalAvx2};
#endif
  return {InterleaveBase, HorizontalBase, VerticalBase};
}

// Everything that a resize allocates follows from these numbers.
struct Layout {
  Layout(int in_width, int in_height, int out_width, int out_height)
      : vertical_first(in_width != out_width && out_height < in_height &&
                       int64_t{in_height} - out_height > 2 * (int64_t{in_width} - out_width)),
        row_bytes(RoundUp(int64_t{out_width} * 3 + 1, kVerticalLanes)),
        strip_bytes(in_width == out_width ? 0 : int64_t{in_width} * kStripBytes) {
    if (vertical_first) {
      window_rows = kStripRows;
      tall_bytes = int64_t{in_width} * 3 * kStripRows;
    } else {
      window_rows =
          RoundUp((in_height == out_height ? 1 : TapsMax(in_height, out_height)) + kStripRows - 1, kStripRows);
    }
  }

  bool vertical_first;
  int64_t window_rows;     // horizontally resized rows that are alive at once, computed kStripRows at a time
  int64_t row_bytes;       // of one of them
  int64_t strip_bytes;     // kStripRows interleaved rows of input width
  int64_t tall_bytes = 0;  // kStripRows vertically resized rows of input width
};

// The horizontally resized picture, of which only the rows that the vertical filter needs now exist.
class RowWindow {
 public:
  RowWindow(const uint8_t* in, int in_width, int in_height, int out_width, const Layout& layout, const Kernels& kernels)
      : in_(in),
        in_width_(in_width),
        in_height_(in_height),
        out_width_(out_width),
        layout_(layout),
        kernels_(kernels),
        strip_(layout.strip_bytes),
        rows_(layout.window_rows * layout.row_bytes) {
    if (in_width != out_width) across_ = std::make_unique<WeightTable>(in_width, out_width);
  }

  // Makes rows up to `end` (exclusive) exist; of those before it, as many as the vertical filter is high stay.
  void Advance(int end) {
    for (; ready_ < end; ready_ += kStripRows) AddStrip();
  }

  uint8_t* row(int y) { return rows_.data() + y % layout_.window_rows * layout_.row_bytes; }

 private:
  void AddStrip() {
    const int64_t stride = int64_t{in_width_} * 3;
    const uint8_t* from[kStripRows];
    uint8_t* to[kStripRows];
    for (int i = 0; i < kStripRows; ++i) {
      from[i] = in_ + std::min(ready_ + i, in_height_ - 1) * stride;
      to[i] = row(ready_ + i);
      if (!across_) std::memcpy(to[i], from[i], static_cast<size_t>(stride));
    }
    if (!across_) return;
    kernels_.interleave(from, in_width_, strip_.data());
    kernels_.horizontal(strip_.data(), *across_, out_width_, to);
  }

  const uint8_t* in_;
  int in_width_;
  int in_height_;
  int out_width_;
  const Layout& layout_;
  const Kernels& kernels_;
  std::unique_ptr<WeightTable> across_;
  std::vector<uint8_t> strip_;
  std::vector<uint8_t> rows_;
  int ready_ = 0;
};

// The rows of `in` that output row y of a vertical pass reads.
void TapRows(const WeightTable& down, int y, const uint8_t* in, int64_t stride, std::vector<const uint8_t*>& rows) {
  for (int tap = 0; tap < down.count(y); ++tap) rows[tap] = in + (down.first(y) + tap) * stride;
}

void ResizeVerticalFirst(const uint8_t* in, int in_width, int in_height, uint8_t* out, int out_width, int out_height,
                         const Layout& layout, const Kernels& kernels) {
  const WeightTable across(in_width, out_width);
  const WeightTable down(in_height, out_height);
  const int64_t in_stride = int64_t{in_width} * 3;
  const int64_t out_stride = int64_t{out_width} * 3;
  std::vector<const uint8_t*> taps(TapsMax(in_height, out_height));
  std::vector<uint8_t> tall(layout.tall_bytes);
  std::vector<uint8_t> strip(layout.strip_bytes);
  std::vector<uint8_t> narrow(layout.window_rows * layout.row_bytes);
  const uint8_t* from[kStripRows];
  uint8_t* to[kStripRows];
  for (int i = 0; i < kStripRows; ++i) {
    from[i] = tall.data() + i * in_stride;
    to[i] = narrow.data() + i * layout.row_bytes;
  }
  for (int top = 0; top < out_height; top += kStripRows) {
    const int rows = std::min(kStripRows, out_height - top);
    for (int i = 0; i < rows; ++i) {
      TapRows(down, top + i, in, in_stride, taps);
      kernels.vertical(taps.data(), down.weights(top + i), down.count(top + i), in_stride, tall.data() + i * in_stride);
    }
    kernels.interleave(from, in_width, strip.data());
    kernels.horizontal(strip.data(), across, out_width, to);
    for (int i = 0; i < rows; ++i) std::memcpy(out + (top + i) * out_stride, to[i], static_cast<size_t>(out_stride));
  }
}

void ResizeHorizontalFirst(const uint8_t* in, int in_width, int in_height, uint8_t* out, int out_width, int out_height,
                           const Layout& layout, const Kernels& kernels) {
  const int64_t out_stride = int64_t{out_width} * 3;
  RowWindow window(in, in_width, in_height, out_width, layout, kernels);
  if (in_height == out_height) {
    for (int y = 0; y < out_height; ++y) {
      window.Advance(y + 1);
      std::memcpy(out + y * out_stride, window.row(y), static_cast<size_t>(out_stride));
    }
    return;
  }
  const WeightTable down(in_height, out_height);
  std::vector<const uint8_t*> taps(TapsMax(in_height, out_height));
  for (int y = 0; y < out_height; ++y) {
    window.Advance(down.first(y) + down.count(y));
    for (int tap = 0; tap < down.count(y); ++tap) taps[tap] = window.row(down.first(y) + tap);
    kernels.vertical(taps.data(), down.weights(y), down.count(y), out_stride, out + y * out_stride);
  }
}

}  // namespace

void ResizeBicubic(const uint8_t* in, int in_width, int in_height, uint8_t* out, int out_width, int out_height) {
  HEADROOM_CHECK(in_width > 0 && in_height > 0 && out_width > 0 && out_height > 0) << "empty picture";
  if (in_width == out_width && in_height == out_height) {
    std::memcpy(out, in, size_t{3} * in_width * in_height);
    return;
  }
  static const Kernels kernels = ChooseKernels();
  const Layout layout(in_width, in_height, out_width, out_height);
  auto resize = layout.vertical_first ? ResizeVerticalFirst : ResizeHorizontalFirst;
  resize(in, in_width, in_height, out, out_width, out_height, layout, kernels);
}

}  // namespace headroom::vision_worker
