// Products through cuBLAS: the workspace is the caller's, or there is none.
#include <cublas_v2.h>

#include <string>

#include "tests/emulation/programs/matrices.h"

namespace {

constexpr size_t kWorkspace = 4 << 20;

struct Handle {
  cublasHandle_t handle;
  cudaStream_t stream;
  void* workspace;

  Handle() {
    BLAS(cublasCreate(&handle));
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&workspace, kWorkspace + 256));
    BLAS(cublasSetStream(handle, stream));
    BLAS(cublasSetWorkspace(handle, workspace, kWorkspace));
  }
  ~Handle() {
    cublasDestroy(handle);
    cudaStreamDestroy(stream);
    cudaFree(workspace);
  }
};

struct Types {
  cudaDataType ab, c;
  cublasComputeType_t compute;
};
constexpr Types kBf16 = {CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F};

// y = x · Wᵀ, row-major, as column-major libraries see it.
struct Linear {
  Types types;
  int m = 40, n = 7, k = 64;
  OnDevice w{types.ab, k, m, k}, x{types.ab, k, n, k}, y{types.c, m, n, m};
  float alpha = 1, beta = 0;
  int32_t int_alpha = 1, int_beta = 0;

  explicit Linear(Types t) : types(t) { w.Fill(), x.Fill(); }
  cublasStatus_t Run(cublasHandle_t handle, cublasOperation_t transa = CUBLAS_OP_T) {
    const bool integers = types.compute == CUBLAS_COMPUTE_32I;
    return cublasGemmEx(handle, transa, CUBLAS_OP_N, m, n, k, integers ? static_cast<const void*>(&int_alpha) : &alpha,
                        w.data, types.ab, w.ld, x.data, types.ab, x.ld,
                        integers ? static_cast<const void*>(&int_beta) : &beta, y.data, types.c, y.ld, types.compute,
                        CUBLAS_GEMM_DEFAULT);
  }
  void Check(const char* what) {
    const std::vector<double> got = y.Download();
    for (int col = 0; col < n; col++) {
      for (int row = 0; row < m; row++) {
        const Sum sum = SumOf(w, true, x, false, row, col, k);
        ExpectNear(what, got[row + size_t(col) * m], sum.value, Tolerance(types.c, sum.value, sum.magnitude, k), row,
                   col);
      }
    }
  }
};

void Plain() {
  const Handle h;
  for (const Types types :
       {kBf16, Types{CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F}, Types{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F},
        Types{CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F}, Types{CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F_PEDANTIC},
        Types{CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I}}) {
    Linear linear(types);
    BLAS(linear.Run(h.handle));
    OK(cudaStreamSynchronize(h.stream));
    linear.Check("gemm");
  }
  Linear linear({CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F});
  const float one = 1, zero = 0;
  BLAS(cublasSgemm(h.handle, CUBLAS_OP_T, CUBLAS_OP_N, linear.m, linear.n, linear.k, &one,
                   static_cast<float*>(linear.w.data), linear.w.ld, static_cast<float*>(linear.x.data), linear.x.ld,
                   &zero, static_cast<float*>(linear.y.data), linear.y.ld));
  OK(cudaStreamSynchronize(h.stream));
  linear.Check("sgemm");
}

void Workspace() {
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  Linear linear(kBf16);
  ANSWERS(CUBLAS_STATUS_ALLOC_FAILED, linear.Run(handle));
  void* workspace;
  OK(cudaMalloc(&workspace, kWorkspace + 256));
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, cublasSetWorkspace(handle, static_cast<char*>(workspace) + 128, kWorkspace));
  BLAS(cublasSetWorkspace(handle, workspace, kWorkspace));
  BLAS(linear.Run(handle));
  // Setting a stream takes the workspace back, as documented.
  BLAS(cublasSetStream(handle, nullptr));
  ANSWERS(CUBLAS_STATUS_ALLOC_FAILED, linear.Run(handle));
  BLAS(cublasSetWorkspace(handle, workspace, 256));
  ANSWERS(CUBLAS_STATUS_ALLOC_FAILED, linear.Run(handle));
  // A workspace over an operand.
  BLAS(cublasSetWorkspace(handle, linear.w.data, kWorkspace));
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, linear.Run(handle));
  OK(cudaDeviceSynchronize());
  linear.Check("with a workspace");
  BLAS(cublasDestroy(handle));
}

void HandleBytes() {
  size_t before = 0, during = 0, after = 0, total = 0;
  OK(cudaMemGetInfo(&before, &total));
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  OK(cudaMemGetInfo(&during, &total));
  BLAS(cublasDestroy(handle));
  OK(cudaMemGetInfo(&after, &total));
  EXPECT(during < before);
  EXPECT(after == before);
  void* rest;
  OK(cudaMalloc(&rest, before - (1 << 20)));
  ANSWERS(CUBLAS_STATUS_ALLOC_FAILED, cublasCreate(&handle));
}

void Refusals() {
  const Handle h;
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, Linear({CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_16F}).Run(h.handle));
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, Linear({CUDA_R_16BF, CUDA_R_16F, CUBLAS_COMPUTE_32F}).Run(h.handle));
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, Linear({CUDA_R_8F_E4M3, CUDA_R_16BF, CUBLAS_COMPUTE_32F}).Run(h.handle));
  Linear int8({CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I});
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, int8.Run(h.handle, CUBLAS_OP_N));
  Linear linear(kBf16);
  linear.w.ld = 32;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, linear.Run(h.handle));
  linear.w.ld = 66;
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, linear.Run(h.handle));
  linear.w.ld = 64;
  linear.m = -1;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, linear.Run(h.handle));
  linear.m = 0;
  BLAS(linear.Run(h.handle));
  ANSWERS(CUBLAS_STATUS_NOT_INITIALIZED, linear.Run(nullptr));
}

void Strided() {
  const Handle h;
  constexpr int kBatches = 3, m = 32, n = 8, k = 48;
  OnDevice a(CUDA_R_16BF, m, k * kBatches, m), b(CUDA_R_16BF, k, n * kBatches, k), c(CUDA_R_32F, m, n * kBatches, m);
  a.Fill(), b.Fill(), c.Fill();
  const float alpha = 0.5, beta = 2;
  BLAS(cublasGemmStridedBatchedEx(h.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, a.data, CUDA_R_16BF, m, m * k,
                                  b.data, CUDA_R_16BF, k, k * n, &beta, c.data, CUDA_R_32F, m, m * n, kBatches,
                                  CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  OK(cudaStreamSynchronize(h.stream));
  const std::vector<double> got = c.Download();
  for (int col = 0; col < n * kBatches; col++) {
    for (int row = 0; row < m; row++) {
      double sum = 0, magnitude = 0;
      for (int p = 0; p < k; p++) {
        const double product = a.at(row, col / n * k + p) * b.at(p, col);
        sum += product, magnitude += std::abs(product);
      }
      const double wanted = 0.5 * sum + 2 * c.at(row, col);
      ExpectNear("strided", got[row + col * m], wanted, Tolerance(CUDA_R_32F, wanted, magnitude, k), row, col);
    }
  }
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE,
          cublasGemmStridedBatchedEx(h.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, a.data, CUDA_R_16BF, m, m * k,
                                     b.data, CUDA_R_16BF, k, k * n, &beta, c.data, CUDA_R_32F, m, m * n / 2, kBatches,
                                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

// Experts with their tokens: one group each, one of them without any.
struct Experts {
  static constexpr int kExperts = 4, m = 24, k = 40;
  int tokens[kExperts] = {3, 0, 9, 1};
  std::vector<OnDevice*> w, x, y;
  std::vector<void*> addresses[3];
  void* arrays[3];

  Experts() {
    for (const int n : tokens) {
      w.push_back(&(new OnDevice(CUDA_R_16BF, k, m, k))->Fill());
      x.push_back(&(new OnDevice(CUDA_R_16BF, k, std::max(n, 1), k))->Fill());
      y.push_back(new OnDevice(CUDA_R_16BF, m, std::max(n, 1), m));
      addresses[0].push_back(w.back()->data), addresses[1].push_back(x.back()->data),
          addresses[2].push_back(y.back()->data);
    }
    for (int i = 0; i < 3; i++) {
      OK(cudaMalloc(&arrays[i], kExperts * sizeof(void*)));
      OK(cudaMemcpy(arrays[i], addresses[i].data(), kExperts * sizeof(void*), cudaMemcpyHostToDevice));
    }
  }
  cublasStatus_t Run(cublasHandle_t handle, cudaDataType c_type = CUDA_R_16BF, bool on_host = false) {
    cublasOperation_t transa[kExperts], transb[kExperts];
    int ms[kExperts], ks[kExperts], sizes[kExperts];
    float alpha[kExperts], beta[kExperts];
    for (int e = 0; e < kExperts; e++)
      transa[e] = CUBLAS_OP_T, transb[e] = CUBLAS_OP_N, ms[e] = m, ks[e] = k, sizes[e] = 1, alpha[e] = 1, beta[e] = 0;
    const auto array = [&](int i) { return on_host ? addresses[i].data() : static_cast<void**>(arrays[i]); };
    return cublasGemmGroupedBatchedEx(handle, transa, transb, ms, tokens, ks, alpha, array(0), CUDA_R_16BF, ks,
                                      array(1), CUDA_R_16BF, ks, beta, array(2), c_type, ms, kExperts, sizes,
                                      CUBLAS_COMPUTE_32F);
  }
};

void Grouped() {
  const Handle h;
  Experts experts;
  BLAS(experts.Run(h.handle));
  OK(cudaStreamSynchronize(h.stream));
  for (int e = 0; e < Experts::kExperts; e++) {
    if (experts.tokens[e] == 0) continue;
    const std::vector<double> got = experts.y[e]->Download();
    for (int col = 0; col < experts.tokens[e]; col++) {
      for (int row = 0; row < Experts::m; row++) {
        const Sum sum = SumOf(*experts.w[e], true, *experts.x[e], false, row, col, Experts::k);
        ExpectNear("expert", got[row + col * Experts::m], sum.value,
                   Tolerance(CUDA_R_16BF, sum.value, sum.magnitude, Experts::k), row, col);
      }
    }
  }
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, experts.Run(h.handle, CUDA_R_32F));
  BLAS(cublasSetStream(h.handle, nullptr));
  ANSWERS(CUBLAS_STATUS_ALLOC_FAILED, experts.Run(h.handle));
}
void GroupedArraysOnHost() {
  const Handle h;
  Experts experts;
  BLAS(experts.Run(h.handle, CUDA_R_16BF, true));
  OK(cudaStreamSynchronize(h.stream));
}

void GroupedMisaligned() {
  const Handle h;
  Experts experts;
  void* off = static_cast<char*>(experts.addresses[1][2]) + 8;
  OK(cudaMemcpy(static_cast<void**>(experts.arrays[1]) + 2, &off, sizeof off, cudaMemcpyHostToDevice));
  BLAS(experts.Run(h.handle));
  OK(cudaStreamSynchronize(h.stream));
}

// In the order of the stream: the product reads what the copy before it brought, and the copy after it sees the
// product.
void StreamOrder() {
  const Handle h;
  Linear linear(kBf16);
  std::vector<char> bytes(linear.x.values.size() * 2), back(linear.y.values.size() * 2);
  void *pinned, *result;
  OK(cudaMallocHost(&pinned, bytes.size()));
  OK(cudaMallocHost(&result, back.size()));
  for (int turn = 0; turn < 3; turn++) {
    for (double& x : linear.x.values) x = Rounded(CUDA_R_16BF, std::uniform_real_distribution<double>(-1, 1)(Random()));
    for (size_t i = 0; i < linear.x.values.size(); i++)
      Store(CUDA_R_16BF, linear.x.values[i], static_cast<char*>(pinned) + 2 * i);
    OK(cudaMemcpyAsync(linear.x.data, pinned, bytes.size(), cudaMemcpyHostToDevice, h.stream));
    BLAS(linear.Run(h.handle));
    OK(cudaMemcpyAsync(result, linear.y.data, back.size(), cudaMemcpyDeviceToHost, h.stream));
    OK(cudaStreamSynchronize(h.stream));
    linear.Check("in order");
    const Sum sum = SumOf(linear.w, true, linear.x, false, 1, 2, linear.k);
    ExpectNear("copied", Load(CUDA_R_16BF, static_cast<char*>(result) + 2 * (1 + 2 * linear.m)), sum.value,
               Tolerance(CUDA_R_16BF, sum.value, sum.magnitude, linear.k), 1, 2);
  }
}

constexpr Case kCases[] = {{"plain", Plain},
                           {"workspace", Workspace},
                           {"handle_bytes", HandleBytes},
                           {"refusals", Refusals},
                           {"strided", Strided},
                           {"grouped", Grouped},
                           {"grouped_arrays_on_host", GroupedArraysOnHost},
                           {"grouped_misaligned", GroupedMisaligned},
                           {"stream_order", StreamOrder}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
