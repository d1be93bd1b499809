#include "tests/emulation/kernels/workloads.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "common/testing/paths.h"
#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

std::vector<Bf16> RandomHalves(size_t n, float scale, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<Bf16> values(n);
  for (Bf16& value : values) value = FromFloat<Bf16>(normal(random));
  return values;
}

// softmax(q·kᵀ·scale)·v for one query over keys 0…n-1; key(t, d), value(t, d).
template <class Key, class Value>
std::vector<double> Attend(const Bf16* q, int n, int head_dim, double scale, Key key, Value value) {
  std::vector<double> weight(n), out(head_dim);
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < head_dim; d++) weight[t] += static_cast<double>(ToFloat(q[d])) * key(t, d) * scale;
  }
  const double most = n > 0 ? *std::max_element(weight.begin(), weight.end()) : 0;
  double sum = 0;
  for (double& w : weight) sum += w = std::exp(w - most);
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < head_dim; d++) out[d] += weight[t] / sum * value(t, d);
  }
  return out;
}

void Compare(Outcome& outcome, double got, double expected, double scale) {
  const double error = std::abs(got - expected) / scale;
  outcome.error = std::max(outcome.error, std::isnan(error) ? INFINITY : error);
}

}  // namespace

// Rows of magnitude 1e-4, so that eps counts; 100 × 8 values, so that the last turn of 256 threads is partly idle in an
// 800-wide row.
Outcome RunRowNorm(TestDevice& device, const std::string& kernel, int size) {
  const int rows = 6 * size, hidden = 2080;
  const float eps = 1e-8F;
  const std::vector<Bf16> x = RandomHalves(static_cast<size_t>(rows) * hidden, 1e-4F, 1),
                          w = RandomHalves(hidden, 1, 2);
  const uint64_t out = device.Allocate(x.size() * sizeof(Bf16));
  Outcome outcome;
  outcome.counters = device.RunPacked(kernel, {static_cast<uint32_t>(rows)}, {256},
                                      Pack(device.Upload(x), device.Upload(w), out, hidden, eps));
  const std::vector<Bf16> y = device.Download<Bf16>(out, x.size());
  for (int row = 0; row < rows; row++) {
    const Bf16* values = &x[static_cast<size_t>(row) * hidden];
    double squares = 0;
    for (int k = 0; k < hidden; k++) squares += std::pow(static_cast<double>(ToFloat(values[k])), 2);
    const double scale = 1 / std::sqrt(squares / hidden + static_cast<double>(eps));
    for (int k = 0; k < hidden; k++) {
      const double expected = ToFloat(values[k]) * scale * ToFloat(w[k]);
      Compare(outcome, ToFloat(y[static_cast<size_t>(row) * hidden + k]), expected, std::abs(expected) + 1e-2);
    }
  }
  return outcome;
}

// Sequences of 1, of a whole number of blocks, and between; blocks in shuffled order.
Outcome RunPagedAttention(TestDevice& device, const std::string& kernel, int size) {
  constexpr int kHeadDim = 64, kHeads = 6, kKvHeads = 2, kBlockSize = 16;
  const int sequences = 4, longest = 75 * size, blocks_max = (longest + kBlockSize - 1) / kBlockSize,
            blocks = sequences * blocks_max;
  const std::vector<int> lengths = {longest, 1, 48 * size, 33};
  const std::vector<Bf16> q = RandomHalves(sequences * kHeads * kHeadDim, 1, 3);
  const size_t cache = static_cast<size_t>(blocks) * kKvHeads * kBlockSize * kHeadDim;
  const std::vector<Bf16> k = RandomHalves(cache, 1, 4), v = RandomHalves(cache, 1, 5);
  std::vector<int> table(blocks);
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(6));
  const float scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
  const uint64_t out = device.Allocate(q.size() * sizeof(Bf16));
  Outcome outcome;
  outcome.counters = device.RunPacked(
      kernel, {kKvHeads, static_cast<uint32_t>(sequences)}, {128},
      Pack(device.Upload(q), device.Upload(k), device.Upload(v), device.Upload(table), device.Upload(lengths), out,
           int{kHeads}, int{kKvHeads}, int{kBlockSize}, blocks_max, scale),
      kHeads / kKvHeads * longest * sizeof(float));
  const std::vector<Bf16> y = device.Download<Bf16>(out, q.size());
  for (int s = 0; s < sequences; s++) {
    for (int h = 0; h < kHeads; h++) {
      const auto at = [&](const std::vector<Bf16>& values) {
        return [&, s, h](int t, int d) {
          const size_t block =
              static_cast<size_t>(table[s * blocks_max + t / kBlockSize]) * kKvHeads + h / (kHeads / kKvHeads);
          return static_cast<double>(ToFloat(values[(block * kBlockSize + t % kBlockSize) * kHeadDim + d]));
        };
      };
      const size_t first = static_cast<size_t>(s * kHeads + h) * kHeadDim;
      const std::vector<double> expected = Attend(&q[first], lengths[s], kHeadDim, scale, at(k), at(v));
      for (int d = 0; d < kHeadDim; d++) Compare(outcome, ToFloat(y[first + d]), expected[d], 1);
    }
  }
  return outcome;
}

// Once causal, once not, with keys and rows that fill no tile: only without a causal mask do the keys beyond the end
// count.
Outcome RunFlashAttention(TestDevice& device, const std::string& kernel, int size) {
  constexpr int kHeadDim = 64, kHeads = 4, kKvHeads = 2;
  Outcome outcome;
  for (const int causal : {0, 1}) {
    const int rows = 70 * size, keys = causal ? 101 * size : 83 * size;
    const std::vector<Bf16> q = RandomHalves(static_cast<size_t>(rows) * kHeads * kHeadDim, 1, 7);
    const std::vector<Bf16> k = RandomHalves(static_cast<size_t>(keys) * kKvHeads * kHeadDim, 1, 8),
                            v = RandomHalves(k.size(), 1, 9);
    const float scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
    const uint64_t out = device.Allocate(q.size() * sizeof(Bf16));
    outcome.counters += device.RunPacked(kernel, {static_cast<uint32_t>((rows + 63) / 64), kHeads}, {128},
                                         Pack(device.Upload(q), device.Upload(k), device.Upload(v), out, rows, keys,
                                              int{kHeads}, int{kKvHeads}, causal, scale));
    const std::vector<Bf16> y = device.Download<Bf16>(out, q.size());
    for (int row = 0; row < rows; row += size) {
      for (int h = 0; h < kHeads; h++) {
        const auto at = [&](const std::vector<Bf16>& values) {
          return [&, h](int t, int d) {
            return static_cast<double>(
                ToFloat(values[(static_cast<size_t>(t) * kKvHeads + h / (kHeads / kKvHeads)) * kHeadDim + d]));
          };
        };
        const size_t first = (static_cast<size_t>(row) * kHeads + h) * kHeadDim;
        const std::vector<double> expected =
            Attend(&q[first], causal ? row + keys - rows + 1 : keys, kHeadDim, scale, at(k), at(v));
        for (int d = 0; d < kHeadDim; d++) Compare(outcome, ToFloat(y[first + d]), expected[d], 1);
      }
    }
  }
  return outcome;
}

Outcome RunSumByLastBlock(TestDevice& device, const std::string& kernel) {
  std::vector<int> x(5000);
  std::iota(x.begin(), x.end(), -100);
  const uint64_t total = device.Allocate(sizeof(int));
  Outcome outcome;
  for (int again = 0; again < 2; again++) {
    outcome.counters += device.RunPacked(
        kernel, {7}, {96}, Pack(device.Upload(x), static_cast<int>(x.size()), device.Allocate(7 * sizeof(int)), total));
    Compare(outcome, device.Download<int>(total, 1)[0], std::accumulate(x.begin(), x.end(), 0), 1);
  }
  return outcome;
}

Outcome RunHistogram(TestDevice& device, const std::string& kernel) {
  std::vector<uint8_t> bytes(3001);
  std::vector<uint32_t> expected(256);
  for (size_t k = 0; k < bytes.size(); k++) expected[bytes[k] = static_cast<uint8_t>(k * k / 7)]++;
  const uint64_t counts = device.Upload(std::vector<uint32_t>(256));
  Outcome outcome;
  outcome.counters =
      device.RunPacked(kernel, {3}, {128}, Pack(device.Upload(bytes), static_cast<int>(bytes.size()), counts));
  const std::vector<uint32_t> got = device.Download<uint32_t>(counts, 256);
  for (int k = 0; k < 256; k++) Compare(outcome, got[k], expected[k], 1);
  return outcome;
}

Outcome RunWorkload(TestDevice& device, const std::string& workload, const std::string& kernel) {
  if (workload == "RowNorm") return RunRowNorm(device, kernel);
  if (workload == "PagedAttention") return RunPagedAttention(device, kernel);
  if (workload == "FlashAttention") return RunFlashAttention(device, kernel);
  if (workload == "SumByLastBlock") return RunSumByLastBlock(device, kernel);
  if (workload == "Histogram") return RunHistogram(device, kernel);
  throw std::runtime_error("no workload " + workload);
}

std::string KernelPtx(const std::string& name, int architecture) {
  const std::string path =
      headroom::BinaryDir() + "/emulation/" + name + ".sm_" + std::to_string(architecture) + ".ptx";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace emulation
