// Attention in f32 for every head size and type: what the tensor kernels do not take. A block of 4 warps has 16 rows,
// keys in tiles of 32, a running softmax. Lanes are keys while scores are computed, columns of the head afterwards.
#include <cuda_bf16.h>

#include <cfloat>

#include "runtime/cuda/kernels/attention_rows.cuh"
#include "runtime/cuda/kernels/head_sizes.cuh"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kWarpRows = 4;
constexpr int kRows = kWarps * kWarpRows;
constexpr int kKeys = 32;
constexpr int kHeadDimMax = 512;

// Of a key in shared memory: odd, so that the same column of 32 keys lies in 32 banks. Queries are read four columns at
// a time, hence rounded up.
__host__ __device__ constexpr int KeyStride(int head_dim) { return head_dim | 1; }
__host__ __device__ constexpr int QueryStride(int head_dim) { return (head_dim + 3) / 4 * 4; }
constexpr int SharedBytes(int head_dim) {
  return (kRows * QueryStride(head_dim) + kKeys * KeyStride(head_dim) + kRows * kKeys) *
         static_cast<int>(sizeof(float));
}

// Where element 0 of a key and of its value lies.
struct KeyAddress {
  const void* key;
  const void* value;
};
__device__ KeyAddress AddressOf(const DenseAttention& args, const DenseRows& rows, int key) {
  return {rows.Key(args, key), rows.Value(args, key)};
}
__device__ KeyAddress AddressOf(const PagedAttention& args, const CachedRows& rows, int key) {
  const unsigned char* const at = static_cast<const unsigned char*>(args.keys) + rows.Offset(args, key);
  return {at, at + args.value_offset};
}

__device__ float ToFloat(float x) { return x; }
__device__ float ToFloat(Bf16 x) { return __bfloat162float(x); }

__device__ float WarpMax(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}
__device__ float WarpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// A block's shared memory.
struct Tiles {
  __device__ explicit Tiles(int head_dim)
      : head_dim(head_dim), query_stride(QueryStride(head_dim)), key_stride(KeyStride(head_dim)) {
    extern __shared__ __align__(16) float shared[];
    queries = shared;
    weights = reinterpret_cast<float4*>(queries + kRows * query_stride);
    tile = reinterpret_cast<float*>(weights + kWarps * kKeys);
  }
  int head_dim, query_stride, key_stride;
  float* queries;   // [kRows][query_stride]
  float4* weights;  // [kWarps][kKeys], of a warp's four rows
  float* tile;      // [kKeys][key_stride]: keys, then values
};

// One warp's four rows.
class PlainWarp {
 public:
  // This lane's key, the `lane`th of the tile, against each row.
  __device__ void Scores(const Tiles& tiles, float (&score)[kWarpRows]) const {
    for (int c = 0; c < tiles.query_stride; c += 4) {
      float k[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        k[e] = c + e < tiles.head_dim ? tiles.tile[lane_ * tiles.key_stride + c + e] : 0.0f;
      }
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) {
        const float4 q = *reinterpret_cast<const float4*>(tiles.queries + (first_ + r) * tiles.query_stride + c);
        score[r] += q.x * k[0] + q.y * k[1] + q.z * k[2] + q.w * k[3];
      }
    }
  }

  // Scores become weights against the largest so far. Row r sees this lane's key when seen[r].
  __device__ void Weigh(const Tiles& tiles, float (&score)[kWarpRows], const bool (&seen)[kWarpRows]) {
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const float now = fmaxf(most_[r], WarpMax(seen[r] ? score[r] : -FLT_MAX));
      fade_[r] = expf(most_[r] - now);
      score[r] = seen[r] ? expf(score[r] - now) : 0.0f;
      most_[r] = now;
      total_[r] = total_[r] * fade_[r] + WarpSum(score[r]);
    }
    tiles.weights[warp_ * kKeys + lane_] = {score[0], score[1], score[2], score[3]};
  }

  __device__ void AddValues(const Tiles& tiles) {
#pragma unroll
    for (int c = 0; c < kHeadDimMax / 32; ++c) {
      if (c * 32 >= tiles.head_dim) break;
      const int column = min(c * 32 + lane_, tiles.head_dim - 1);
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) sum_[c][r] *= fade_[r];
#pragma unroll 4
      for (int k = 0; k < kKeys; ++k) {
        const float4 weight = tiles.weights[warp_ * kKeys + k];
        const float value = tiles.tile[k * tiles.key_stride + column];
        sum_[c][0] += weight.x * value;
        sum_[c][1] += weight.y * value;
        sum_[c][2] += weight.z * value;
        sum_[c][3] += weight.w * value;
      }
    }
  }

  template <typename Out, typename Args, typename Rows>
  __device__ void Store(const Args& args, const Rows& rows) const {
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      if (first_ + r >= rows.count) return;
      Out* const out = static_cast<Out*>(args.out) + rows.Out(args, first_ + r);
      const float inverse = 1.0f / total_[r];
#pragma unroll
      for (int c = 0; c < kHeadDimMax / 32; ++c) {
        const int column = c * 32 + lane_;
        if (column < args.head_dim) cuda::Store<1>(out + column, Values<1>{sum_[c][r] * inverse});
      }
    }
  }

 private:
  const int lane_ = threadIdx.x % 32, warp_ = threadIdx.x / 32, first_ = warp_ * kWarpRows;
  float sum_[kHeadDimMax / 32][kWarpRows] = {};  // columns lane, lane + 32, …
  float most_[kWarpRows] = {-FLT_MAX, -FLT_MAX, -FLT_MAX, -FLT_MAX};
  float total_[kWarpRows] = {}, fade_[kWarpRows];
};

template <typename Element, typename Out, typename Args, typename Rows>
__device__ void Attend(const Args& args, const Rows& rows) {
  const Tiles tiles(args.head_dim);
  const int lane = threadIdx.x % 32, warp_index = threadIdx.x / 32;
  for (int i = threadIdx.x; i < kRows * tiles.query_stride; i += kThreads) {
    const int row = i / tiles.query_stride, column = i - row * tiles.query_stride;
    const bool valid = row < rows.count && column < args.head_dim;
    tiles.queries[i] = valid ? rows.Query(args, row)[column] * args.scale : 0.0f;
  }
  PlainWarp warp;
  for (int key = 0; key < rows.keys; key += kKeys) {
    // Behind the last key stands the last one again, and gets no weight.
    const auto load = [&](const void* KeyAddress::*part) {
      __syncthreads();
      for (int k = warp_index; k < kKeys; k += kWarps) {
        const auto* const from = static_cast<const Element*>(AddressOf(args, rows, min(key + k, rows.keys - 1)).*part);
#pragma unroll 4
        for (int c = lane; c < args.head_dim; c += 32) tiles.tile[k * tiles.key_stride + c] = ToFloat(from[c]);
      }
      __syncthreads();
    };
    load(&KeyAddress::key);
    float score[kWarpRows] = {};
    warp.Scores(tiles, score);
    bool seen[kWarpRows];
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      seen[r] = key + lane < min(rows.keys, rows.Seen(min(warp_index * kWarpRows + r, rows.count - 1)));
    }
    warp.Weigh(tiles, score, seen);
    load(&KeyAddress::value);
    warp.AddValues(tiles);
  }
  warp.template Store<Out>(args, rows);
}

template <typename Out>
__global__ void __launch_bounds__(kThreads, 1) PlainDense(const DenseAttention args) {
  __shared__ DenseRows rows;
  if (ShareRows(rows, [&] { return FindRows(args, kRows); })) Attend<float, Out>(args, rows);
}

template <typename Element, typename Out>
__global__ void __launch_bounds__(kThreads, 1) PlainPaged(const PagedAttention args) {
  __shared__ CachedRows rows;
  if (ShareRows(rows, [&] { return FindRows(args, kRows, 0); })) Attend<Element, Out>(args, rows);
}

}  // namespace

cudaError_t LaunchPlainAttention(const DenseAttention& args, cudaStream_t stream) {
  return WithType(args.out_is_bf16, [&]<typename Out>(Out) {
    return Launch(PlainDense<Out>, TilesMax(args.out_rows, args.segment_count, kRows) * args.heads, kThreads,
                  SharedBytes(args.head_dim), stream, args);
  });
}

cudaError_t LaunchPlainAttention(const PagedAttention& args, cudaStream_t stream) {
  return WithType(args.cache_is_bf16, [&]<typename Element>(Element) {
    return WithType(args.out_is_bf16, [&]<typename Out>(Out) {
      return Launch(PlainPaged<Element, Out>, CachedTilesMax(args, kRows) * args.kv_heads, kThreads,
                    SharedBytes(args.head_dim), stream, args);
    });
  });
}

}  // namespace headroom::runtime::cuda
