// CUB's radix sort: keys and pairs, 32 and 64 bits, ascending and descending. Its own kernels, as the toolkit ships them.
#include <algorithm>
#include <cstdint>
#include <cub/device/device_radix_sort.cuh>
#include <numeric>
#include <vector>

#include "tests/emulation/programs/lane.h"

namespace {

// One block's worth; and several tiles, the last of which is not full.
constexpr int kSmall = 777, kLarge = 20011;

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ull;
  return x ^ (x >> 29);
}

// Many equal keys among them, so that a sort that is not stable shows in the values.
template <class Key>
std::vector<Key> Keys(int n) {
  std::vector<Key> keys(n);
  for (int i = 0; i < n; i++) {
    const uint64_t random = Mix(i + 1);
    if constexpr (std::is_floating_point_v<Key>) {
      keys[i] = static_cast<Key>(static_cast<int64_t>(random % 4001) - 2000) / 16;
    } else {
      keys[i] = static_cast<Key>(i % 3 == 0 ? random % 1000 : random);
    }
  }
  return keys;
}

template <class Key>
void SortKeys() {
  for (const int n : {1, kSmall, kLarge}) {
    Lane lane;
    std::vector<Key> keys = Keys<Key>(n);
    const Key* in = lane.Upload(keys);
    Key* out = lane.Allocate<Key>(n);
    lane.WithStorage([&](void* storage, size_t& bytes) {
      return cub::DeviceRadixSort::SortKeys(storage, bytes, in, out, n, 0, sizeof(Key) * 8, lane.stream);
    });
    std::sort(keys.begin(), keys.end());
    EXPECT(lane.Download(out, n) == keys);
  }
}

template <class Key, bool kDescending>
void SortPairs() {
  for (const int n : {kSmall, kLarge}) {
    Lane lane;
    const std::vector<Key> keys = Keys<Key>(n);
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    const Key* in = lane.Upload(keys);
    const uint32_t* values = lane.Upload(order);
    Key* out = lane.Allocate<Key>(n);
    uint32_t* moved = lane.Allocate<uint32_t>(n);
    lane.WithStorage([&](void* storage, size_t& bytes) {
      if constexpr (kDescending) {
        return cub::DeviceRadixSort::SortPairsDescending(storage, bytes, in, out, values, moved, n, 0, sizeof(Key) * 8,
                                                         lane.stream);
      } else {
        return cub::DeviceRadixSort::SortPairs(storage, bytes, in, out, values, moved, n, 0, sizeof(Key) * 8,
                                               lane.stream);
      }
    });
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return kDescending ? keys[a] > keys[b] : keys[a] < keys[b]; });
    EXPECT(lane.Download(moved, n) == order);
    const std::vector<Key> sorted = lane.Download(out, n);
    for (int i = 0; i < n; i++) EXPECT(sorted[i] == keys[order[i]]);
  }
}

constexpr Case kCases[] = {{"keys_u32", SortKeys<uint32_t>},
                           {"keys_s64", SortKeys<int64_t>},
                           {"pairs_u64", SortPairs<uint64_t, false>},
                           {"pairs_f32_descending", SortPairs<float, true>}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
