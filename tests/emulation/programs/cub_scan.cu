// CUB's scans and reductions, which look back from block to block. Its own kernels, as the toolkit ships them.
#include <algorithm>
#include <cstdint>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <numeric>
#include <vector>

#include "tests/emulation/programs/lane.h"

namespace {

// One tile; and several, the last of which is not full.
constexpr int kSizes[] = {1, 500, 30011};

template <class T>
std::vector<T> Numbers(int n) {
  std::vector<T> numbers(n);
  for (int i = 0; i < n; i++) numbers[i] = static_cast<T>(i * 37 % 211) - 90;  // sums stay exact, also as float
  return numbers;
}

template <class T>
void Scan() {
  for (const int n : kSizes) {
    Lane lane;
    const std::vector<T> numbers = Numbers<T>(n);
    const T* in = lane.Upload(numbers);
    T *inclusive = lane.Allocate<T>(n), *exclusive = lane.Allocate<T>(n);
    lane.WithStorage([&](void* storage, size_t& bytes) {
      return cub::DeviceScan::InclusiveSum(storage, bytes, in, inclusive, n, lane.stream);
    });
    lane.WithStorage([&](void* storage, size_t& bytes) {
      return cub::DeviceScan::ExclusiveSum(storage, bytes, in, exclusive, n, lane.stream);
    });
    std::vector<T> expected(n);
    std::partial_sum(numbers.begin(), numbers.end(), expected.begin());
    EXPECT(lane.Download(inclusive, n) == expected);
    std::exclusive_scan(numbers.begin(), numbers.end(), expected.begin(), T{0});
    EXPECT(lane.Download(exclusive, n) == expected);
  }
}

void Reduce() {
  for (const int n : kSizes) {
    Lane lane;
    const std::vector<float> numbers = Numbers<float>(n);
    const float* in = lane.Upload(numbers);
    float* results = lane.Allocate<float>(2);
    lane.WithStorage([&](void* storage, size_t& bytes) {
      return cub::DeviceReduce::Sum(storage, bytes, in, results, n, lane.stream);
    });
    lane.WithStorage([&](void* storage, size_t& bytes) {
      return cub::DeviceReduce::Max(storage, bytes, in, results + 1, n, lane.stream);
    });
    const std::vector<float> got = lane.Download(results, 2);
    EXPECT(got[0] == std::accumulate(numbers.begin(), numbers.end(), 0.0F));
    EXPECT(got[1] == *std::max_element(numbers.begin(), numbers.end()));
  }
}

constexpr Case kCases[] = {{"scan_s32", Scan<int32_t>}, {"reduce_f32", Reduce}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
