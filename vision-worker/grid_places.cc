#include "vision-worker/grid_places.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "common/check.h"

namespace headroom::vision_worker {
namespace {

// Of one patch along one side.
template <size_t N>
struct Taps {
  std::array<int32_t, N> at;
  std::array<double, N> weight;
};

// Of one side: n patches over a table of `side` rows.
std::vector<Taps<4>> CubicTaps(int64_t n, int64_t side) {
  constexpr double kA = -0.75;
  const auto near = [](double x) { return ((kA + 2) * x - (kA + 3)) * x * x + 1; };
  const auto far = [](double x) { return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA; };
  std::vector<Taps<4>> taps(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(n) * static_cast<double>(side) - 0.5;
    const double first = std::floor(place), t = place - first;
    Taps<4>& own = taps[static_cast<size_t>(i)];
    own.weight = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    for (size_t tap = 0; tap < own.at.size(); ++tap) {
      const int64_t at = static_cast<int64_t>(first) - 1 + static_cast<int64_t>(tap);
      own.at[tap] = static_cast<int32_t>(std::clamp<int64_t>(at, 0, side - 1));
    }
  }
  return taps;
}

std::vector<Taps<2>> LinearTaps(int64_t n, int64_t side) {
  constexpr double kMore = 0.1;
  const double scale = n == side ? 1 : static_cast<double>(side) / (static_cast<double>(n) + kMore);
  std::vector<Taps<2>> taps(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const double place = std::max(0.0, (static_cast<double>(i) + 0.5) * scale - 0.5);
    const int64_t first = std::min(static_cast<int64_t>(place), side - 1), second = std::min(first + 1, side - 1);
    const double t = place - static_cast<double>(first);
    taps[static_cast<size_t>(i)] = {.at = {static_cast<int32_t>(first), static_cast<int32_t>(second)},
                                    .weight = {1 - t, t}};
  }
  return taps;
}

// `first`: row of the table that (0, 0) is.
template <size_t N>
void WriteTaps(const std::vector<Taps<N>>& rows, const std::vector<Taps<N>>& cols, int64_t side, int64_t first,
               std::span<const int32_t> places, std::span<int32_t> index, std::span<float> weights) {
  HEADROOM_CHECK(index.size() == weights.size() && index.size() * 2 == places.size() * N * N)
      << index.size() << " and " << weights.size() << " for " << places.size();
  size_t next = 0;
  for (size_t patch = 0; patch < places.size() / 2; ++patch) {
    const Taps<N>&row = rows[static_cast<size_t>(places[2 * patch])],
          &col = cols[static_cast<size_t>(places[2 * patch + 1])];
    for (size_t y = 0; y < N; ++y) {
      for (size_t x = 0; x < N; ++x, ++next) {
        index[next] = static_cast<int32_t>(first + row.at[y] * side + col.at[x]);
        weights[next] = static_cast<float>(row.weight[y] * col.weight[x]);
      }
    }
  }
}

}  // namespace

void GridPlaces(const model::PatchGrid& grid, int64_t merge, std::span<int32_t> places) {
  HEADROOM_CHECK(static_cast<int64_t>(places.size()) == 2 * grid.patches() && grid.rows % merge == 0 &&
                 grid.cols % merge == 0)
      << places.size() << " for " << grid.rows << "×" << grid.cols << " by " << merge;
  size_t next = 0;
  for (int64_t top = 0; top < grid.rows; top += merge) {
    for (int64_t left = 0; left < grid.cols; left += merge) {
      for (int64_t i = 0; i < merge * merge; ++i) {
        places[next++] = static_cast<int32_t>(top + i / merge);
        places[next++] = static_cast<int32_t>(left + i % merge);
      }
    }
  }
}

void BicubicTaps(const model::PatchGrid& grid, int64_t side, std::span<const int32_t> places, std::span<int32_t> index,
                 std::span<float> weights) {
  WriteTaps(CubicTaps(grid.rows, side), CubicTaps(grid.cols, side), side, 0, places, index, weights);
}

void BilinearTaps(const model::PatchGrid& grid, int64_t side, int64_t first, std::span<const int32_t> places,
                  std::span<int32_t> index, std::span<float> weights) {
  WriteTaps(LinearTaps(grid.rows, side), LinearTaps(grid.cols, side), side, first, places, index, weights);
}

}  // namespace headroom::vision_worker
