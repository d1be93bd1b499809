#include "tests/emulation/kernels/workloads.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

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

// Another stream of values for each seed, and for each input of a workload.
int Seed(Inputs inputs, int number) { return 100 * inputs.seed + number; }

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

int CollatzSteps(int n) {
  int steps = 0;
  for (; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps++;
  return steps;
}

void Compare(double& worst, double got, double expected, double scale) {
  const double error = std::abs(got - expected) / scale;
  worst = std::max(worst, std::isnan(error) ? INFINITY : error);
}

}  // namespace

// Rows of magnitude 1e-4, so that eps counts; 100 × 8 values, so that the last turn of 256 threads is partly idle in an
// 800-wide row.
double RunRowNorm(KernelDevice& device, const std::string& kernel, Inputs inputs) {
  const int rows = 6 * inputs.size, hidden = 2080;
  const float eps = 1e-8F;
  const std::vector<Bf16> x = RandomHalves(static_cast<size_t>(rows) * hidden, 1e-4F, Seed(inputs, 1)),
                          w = RandomHalves(hidden, 1, Seed(inputs, 2));
  const uint64_t out = device.Allocate(x.size() * sizeof(Bf16));
  double worst = 0;
  device.Run(kernel, {static_cast<uint32_t>(rows)}, {256}, Pack(device.Upload(x), device.Upload(w), out, hidden, eps));
  const std::vector<Bf16> y = device.Download<Bf16>(out, x.size(), {kErrorMax, 1e-4});
  for (int row = 0; row < rows; row++) {
    const Bf16* values = &x[static_cast<size_t>(row) * hidden];
    double squares = 0;
    for (int k = 0; k < hidden; k++) squares += std::pow(static_cast<double>(ToFloat(values[k])), 2);
    const double scale = 1 / std::sqrt(squares / hidden + static_cast<double>(eps));
    for (int k = 0; k < hidden; k++) {
      const double expected = ToFloat(values[k]) * scale * ToFloat(w[k]);
      Compare(worst, ToFloat(y[static_cast<size_t>(row) * hidden + k]), expected, std::abs(expected) + 1e-2);
    }
  }
  return worst;
}

// Sequences of 1, of a whole number of blocks, and between; blocks in shuffled order.
double RunPagedAttention(KernelDevice& device, const std::string& kernel, Inputs inputs) {
  constexpr int kHeadDim = 64, kHeads = 6, kKvHeads = 2, kBlockSize = 16;
  const int sequences = 4, longest = 75 * inputs.size, blocks_max = (longest + kBlockSize - 1) / kBlockSize,
            blocks = sequences * blocks_max;
  const std::vector<int> lengths = {longest, 1, 48 * inputs.size, 33};
  const std::vector<Bf16> q = RandomHalves(sequences * kHeads * kHeadDim, 1, Seed(inputs, 3));
  const size_t cache = static_cast<size_t>(blocks) * kKvHeads * kBlockSize * kHeadDim;
  const std::vector<Bf16> k = RandomHalves(cache, 1, Seed(inputs, 4)), v = RandomHalves(cache, 1, Seed(inputs, 5));
  std::vector<int> table(blocks);
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(Seed(inputs, 6)));
  const float scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
  const uint64_t out = device.Allocate(q.size() * sizeof(Bf16));
  double worst = 0;
  device.Run(kernel, {kKvHeads, static_cast<uint32_t>(sequences)}, {128},
             Pack(device.Upload(q), device.Upload(k), device.Upload(v), device.Upload(table), device.Upload(lengths),
                  out, int{kHeads}, int{kKvHeads}, int{kBlockSize}, blocks_max, scale),
             kHeads / kKvHeads * longest * sizeof(float));
  const std::vector<Bf16> y = device.Download<Bf16>(out, q.size(), {0, kErrorMax});
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
      for (int d = 0; d < kHeadDim; d++) Compare(worst, ToFloat(y[first + d]), expected[d], 1);
    }
  }
  return worst;
}

// Once causal, once not, with keys and rows that fill no tile: only without a causal mask do the keys beyond the end
// count.
double RunFlashAttention(KernelDevice& device, const std::string& kernel, Inputs inputs) {
  constexpr int kHeadDim = 64, kHeads = 4, kKvHeads = 2;
  double worst = 0;
  for (const int causal : {0, 1}) {
    const int rows = 70 * inputs.size, keys = causal ? 101 * inputs.size : 83 * inputs.size;
    const std::vector<Bf16> q = RandomHalves(static_cast<size_t>(rows) * kHeads * kHeadDim, 1, Seed(inputs, 7));
    const std::vector<Bf16> k = RandomHalves(static_cast<size_t>(keys) * kKvHeads * kHeadDim, 1, Seed(inputs, 8)),
                            v = RandomHalves(k.size(), 1, Seed(inputs, 9));
    const float scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
    const uint64_t out = device.Allocate(q.size() * sizeof(Bf16));
    device.Run(kernel, {static_cast<uint32_t>((rows + 63) / 64), kHeads}, {128},
               Pack(device.Upload(q), device.Upload(k), device.Upload(v), out, rows, keys, int{kHeads}, int{kKvHeads},
                    causal, scale));
    const std::vector<Bf16> y = device.Download<Bf16>(out, q.size(), {0, kErrorMax});
    for (int row = 0; row < rows; row += inputs.size) {
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
        for (int d = 0; d < kHeadDim; d++) Compare(worst, ToFloat(y[first + d]), expected[d], 1);
      }
    }
  }
  return worst;
}

double RunSumByLastBlock(KernelDevice& device, const std::string& kernel, Inputs inputs) {
  std::vector<int> x(5000 * inputs.size);
  std::iota(x.begin(), x.end(), inputs.seed - 100);
  const uint64_t total = device.Allocate(sizeof(int));
  double worst = 0;
  for (int again = 0; again < 2; again++) {
    device.Run(kernel, {7}, {96},
               Pack(device.Upload(x), static_cast<int>(x.size()), device.Allocate(7 * sizeof(int)), total));
    Compare(worst, device.Download<int>(total, 1, {})[0], std::accumulate(x.begin(), x.end(), 0), 1);
  }
  return worst;
}

double RunHistogram(KernelDevice& device, const std::string& kernel, Inputs inputs) {
  std::vector<uint8_t> bytes(3001 * inputs.size);
  std::vector<uint32_t> expected(256);
  for (size_t k = 0; k < bytes.size(); k++) expected[bytes[k] = static_cast<uint8_t>(k * k / 7 + inputs.seed)]++;
  const uint64_t counts = device.Upload(std::vector<uint32_t>(256));
  double worst = 0;
  device.Run(kernel, {3}, {128}, Pack(device.Upload(bytes), static_cast<int>(bytes.size()), counts));
  const std::vector<uint32_t> got = device.Download<uint32_t>(counts, 256, {});
  for (int k = 0; k < 256; k++) Compare(worst, got[k], expected[k], 1);
  return worst;
}

double RunCalls(KernelDevice& device, const std::string& kernel, Inputs) {
  constexpr int kCount = 50, kWeights[] = {2, 3, 5, 7};
  const uint64_t out = device.Allocate(kCount * sizeof(int));
  device.Run(kernel, {1}, {64}, Pack(out, int{kCount}));
  const std::vector<int> got = device.Download<int>(out, kCount, {});
  double worst = 0;
  for (int i = 0; i < kCount; i++) {
    const int k = i * 5 % 8;
    Compare(worst, got[i], CollatzSteps(i + 1) * 1000 + ((i + k) % 2 == 0 ? 2 * k : k * k) * kWeights[k % 4], 1);
  }
  return worst;
}

const std::vector<Workload>& Workloads() {
  static const std::vector<Workload> all = {{"RowNorm", RunRowNorm},
                                            {"PagedAttention", RunPagedAttention},
                                            {"FlashAttention", RunFlashAttention},
                                            {"SumByLastBlock", RunSumByLastBlock},
                                            {"Histogram", RunHistogram},
                                            {"Calls", RunCalls}};
  return all;
}

const Workload& WorkloadOf(const std::string& kernel) {
  for (const Workload& workload : Workloads()) {
    if (kernel == workload.kernel) return workload;
  }
  throw std::runtime_error("no workload for a kernel " + kernel);
}

}  // namespace emulation
