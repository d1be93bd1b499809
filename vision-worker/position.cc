#include "vision-worker/position.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"

namespace headroom::vision_worker {
namespace {

// torch.arange(start, …, step) in float32 on x86. Its loop takes two vectors of eight at a time: the first element of a
// vector is rounded to float32 and the others count on from that rounded number; what is left below sixteen elements is
// computed one by one. Compared with torch bit by bit for every length from 1 to 3000.
std::vector<float> ArangeF32(double start, double step, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  const int64_t vectorized = n - n % 16;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t first = i - i % 8;
    x[i] = i < vectorized
               ? static_cast<float>(static_cast<float>(start + step * static_cast<double>(first)) + step * (i - first))
               : static_cast<float>(start + step * static_cast<double>(i));
  }
  return x;
}

}  // namespace

std::vector<int32_t> PositionBuckets(int64_t n, int64_t side) {
  HEADROOM_CHECK(n >= 1 && side >= 1) << n << " patches, table side " << side;
  const double edge = 1.0 / static_cast<double>(side);
  const std::vector<float> edges = ArangeF32(edge, edge, static_cast<int64_t>(std::ceil((1.0 - edge) / edge)));
  // 1/n is a float32 tensor in the reference, side is a Python number.
  const std::vector<float> places = ArangeF32(0.0, 1.0f / static_cast<float>(n), n);
  std::vector<int32_t> buckets(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const auto above = std::upper_bound(edges.begin(), edges.end(), places[i]);
    buckets[i] = static_cast<int32_t>(std::min<int64_t>(above - edges.begin(), side - 1));
  }
  return buckets;
}

void PositionIndex(int64_t rows, int64_t cols, int64_t side, std::span<int32_t> index) {
  HEADROOM_CHECK(static_cast<int64_t>(index.size()) == rows * cols) << index.size() << " for " << rows << "×" << cols;
  const std::vector<int32_t> row_buckets = PositionBuckets(rows, side);
  const std::vector<int32_t> col_buckets = PositionBuckets(cols, side);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      index[r * cols + c] = static_cast<int32_t>(row_buckets[r] * side + col_buckets[c]);
    }
  }
}

void PatchPlaces(int64_t rows, int64_t cols, std::span<int32_t> row, std::span<int32_t> column) {
  HEADROOM_CHECK(static_cast<int64_t>(row.size()) == rows * cols && row.size() == column.size())
      << row.size() << " and " << column.size() << " for " << rows << "×" << cols;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      row[static_cast<size_t>(r * cols + c)] = static_cast<int32_t>(r);
      column[static_cast<size_t>(r * cols + c)] = static_cast<int32_t>(c);
    }
  }
}

}  // namespace headroom::vision_worker
