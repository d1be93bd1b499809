// Products through cuBLASLt, as Headroom asks for them and as it must not.
#include <cublasLt.h>

#include <algorithm>
#include <string>

#include "tests/emulation/programs/matrices.h"

namespace {

struct Setup {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F, ab = CUDA_R_16BF, c = CUDA_R_16BF, d = CUDA_R_16BF, bias = CUDA_R_16BF;
  cublasOperation_t transa = CUBLAS_OP_T, transb = CUBLAS_OP_N;
  int m = 48, n = 5, k = 64;
  int lda = 0, ldb = 0, ldc = 0;  // 0: as few as there can be
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  double alpha = 1, beta = 0;
  size_t workspace = 1 << 20;
  int workspace_offset = 0;
};

bool HasBias(const Setup& s) { return (s.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
int RowsOf(int rows, int cols, cublasOperation_t op) { return op == CUBLAS_OP_N ? rows : cols; }
int ColsOf(int rows, int cols, cublasOperation_t op) { return op == CUBLAS_OP_N ? cols : rows; }

// Everything that one product needs, filled with random values.
struct Problem {
  Setup s;
  OnDevice a, b, c, d, bias;
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t layouts[4];
  cublasLtMatmulPreference_t preference;
  void* workspace;
  float alpha, beta;
  int32_t int_alpha, int_beta;

  explicit Problem(const Setup& setup)
      : s(setup),
        a(s.ab, RowsOf(s.m, s.k, s.transa), ColsOf(s.m, s.k, s.transa), s.lda ? s.lda : RowsOf(s.m, s.k, s.transa)),
        b(s.ab, RowsOf(s.k, s.n, s.transb), ColsOf(s.k, s.n, s.transb), s.ldb ? s.ldb : RowsOf(s.k, s.n, s.transb)),
        c(s.c, s.m, s.n, s.ldc ? s.ldc : s.m),
        d(s.d, s.m, s.n, s.ldc ? s.ldc : s.m),
        bias(s.bias, s.m, 1, s.m) {
    a.Fill(), b.Fill(), bias.Fill();
    if (s.beta != 0) c.Fill();
    alpha = float(s.alpha), beta = float(s.beta), int_alpha = int32_t(s.alpha), int_beta = int32_t(s.beta);
    OK(cudaMalloc(&workspace, (1 << 20) + 256));
    BLAS(cublasLtCreate(&handle));
    BLAS(cublasLtMatmulDescCreate(&operation, s.compute, s.scale));
    Set(CUBLASLT_MATMUL_DESC_TRANSA, s.transa);
    Set(CUBLASLT_MATMUL_DESC_TRANSB, s.transb);
    Set(CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
    if (HasBias(s)) {
      Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data);
      if (s.bias != s.d) Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, s.bias);
    }
    OnDevice* const matrices[] = {&a, &b, &c, &d};
    for (int k = 0; k < 4; k++)
      BLAS(cublasLtMatrixLayoutCreate(&layouts[k], matrices[k]->type, matrices[k]->rows, matrices[k]->cols,
                                      matrices[k]->ld));
    BLAS(cublasLtMatmulPreferenceCreate(&preference));
    BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &s.workspace,
                                              sizeof s.workspace));
  }
  ~Problem() {
    for (cublasLtMatrixLayout_t layout : layouts) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(operation);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtDestroy(handle);
    cudaFree(workspace);
  }

  template <class T>
  void Set(cublasLtMatmulDescAttributes_t attribute, T value) {
    BLAS(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
  }

  cublasStatus_t Find(std::vector<cublasLtMatmulHeuristicResult_t>* results) {
    int found = 0;
    results->resize(8);
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation, layouts[0], layouts[1], layouts[2],
                                                                 layouts[3], preference, 8, results->data(), &found);
    results->resize(status == CUBLAS_STATUS_SUCCESS ? found : 0);
    return status;
  }

  cublasStatus_t Run(const cublasLtMatmulAlgo_t* algorithm, cudaStream_t stream = nullptr) {
    const bool integers = s.scale == CUDA_R_32I;
    void* at = static_cast<char*>(workspace) + s.workspace_offset;
    return cublasLtMatmul(handle, operation, integers ? static_cast<const void*>(&int_alpha) : &alpha, a.data,
                          layouts[0], b.data, layouts[1], integers ? static_cast<const void*>(&int_beta) : &beta,
                          c.data, layouts[2], d.data, layouts[3], algorithm, s.workspace == 0 ? nullptr : at,
                          s.workspace, stream);
  }

  double Wanted(int row, int col, double* magnitude, double scale = 1) {
    const Sum sum = SumOf(a, s.transa != CUBLAS_OP_N, b, s.transb != CUBLAS_OP_N, row, col, s.k);
    *magnitude = std::abs(s.alpha * scale) * sum.magnitude;
    double x = s.alpha * scale * sum.value;
    if (s.beta != 0) x += s.beta * c.at(row, col);
    if (HasBias(s)) x += bias.at(row, 0);
    if ((s.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) x = std::max(x, 0.0);
    if ((s.epilogue & CUBLASLT_EPILOGUE_GELU) != 0)
      x = 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    return x;
  }

  void Check(const std::string& what, double scale = 1) {
    const std::vector<double> got = d.Download();
    for (int col = 0; col < s.n; col++) {
      for (int row = 0; row < s.m; row++) {
        double magnitude = 0;
        const double wanted = Wanted(row, col, &magnitude, scale);
        ExpectNear(what.c_str(), got[row + size_t(col) * s.m], wanted, Tolerance(s.d, wanted, magnitude, s.k), row,
                   col);
      }
    }
  }

  // With every algorithm that the library offers.
  void RunAll(const std::string& what) {
    std::vector<cublasLtMatmulHeuristicResult_t> results;
    BLAS(Find(&results));
    EXPECT(!results.empty());
    for (const auto& result : results) {
      if (s.beta != 0) c.Upload();
      BLAS(Run(&result.algo));
      OK(cudaDeviceSynchronize());
      Check(what + ", workspace " + std::to_string(result.workspaceSize));
    }
  }
};

Setup Int8() {
  Setup s;
  s.compute = CUBLAS_COMPUTE_32I;
  s.scale = s.c = s.d = s.bias = CUDA_R_32I;
  s.ab = CUDA_R_8I;
  return s;
}
Setup F32() {
  Setup s;
  s.ab = s.c = s.d = s.bias = CUDA_R_32F;
  return s;
}
Setup Fp8() {
  Setup s;
  s.ab = CUDA_R_8F_E4M3;
  return s;
}

constexpr cublasLtEpilogue_t kEpilogues[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS,
                                             CUBLASLT_EPILOGUE_RELU,    CUBLASLT_EPILOGUE_RELU_BIAS,
                                             CUBLASLT_EPILOGUE_GELU,    CUBLASLT_EPILOGUE_GELU_BIAS};

// Types, transpositions, epilogues, sizes that fill no tile, long sums, leading dimensions with gaps, alpha and beta.
void Floats() {
  struct Types {
    cudaDataType ab, cd;
  };
  for (const Types types :
       {Types{CUDA_R_16BF, CUDA_R_16BF}, Types{CUDA_R_16F, CUDA_R_16F}, Types{CUDA_R_32F, CUDA_R_32F},
        Types{CUDA_R_16BF, CUDA_R_32F}, Types{CUDA_R_16F, CUDA_R_32F}}) {
    Setup s;
    s.ab = types.ab;
    s.c = s.d = s.bias = types.cd;
    for (const cublasLtEpilogue_t epilogue : kEpilogues) {
      s.epilogue = epilogue;
      Problem(s).RunAll("epilogue " + std::to_string(epilogue));
    }
    s.epilogue = CUBLASLT_EPILOGUE_GELU_BIAS;
    for (const cublasOperation_t transa : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      for (const cublasOperation_t transb : {CUBLAS_OP_N, CUBLAS_OP_T}) {
        s.transa = transa, s.transb = transb;
        s.m = 40, s.n = 24, s.k = 72, s.lda = s.ldb = s.ldc = 80, s.alpha = 0.5, s.beta = -0.25;
        Problem(s).RunAll("transposed " + std::to_string(transa) + std::to_string(transb));
      }
    }
    s.transa = CUBLAS_OP_T, s.transb = CUBLAS_OP_N;
    s.m = 104, s.n = 1, s.k = 1100, s.lda = s.ldb = 1104, s.ldc = 0;
    Problem(s).RunAll("long sums");
  }
}

void Integers() {
  Setup s = Int8();
  Problem(s).RunAll("int8");
  s.m = 52, s.n = 7, s.k = 1040, s.ldc = 64, s.alpha = 3, s.beta = -2;
  Problem(s).RunAll("int8, larger");
}

void Tf32() {
  Setup s = F32();
  s.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  Problem p(s);
  BLAS(p.Run(nullptr));
  // Inputs lose 13 bits: results are near the exact ones, and seldom the same as those of f32.
  const std::vector<double> got = p.d.Download();
  double largest = 0;
  for (int col = 0; col < s.n; col++) {
    for (int row = 0; row < s.m; row++) {
      double magnitude = 0;
      const double wanted = p.Wanted(row, col, &magnitude);
      largest = std::max(largest, std::abs(got[row + size_t(col) * s.m] - wanted) / magnitude);
    }
  }
  EXPECT(largest < 1e-3);
  EXPECT(largest > 1e-6);
}

void Fp8Products() {
  float scales[2] = {0.5F, 4.0F}, *on_device = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&on_device), 256));
  OK(cudaMemcpy(on_device, scales, sizeof scales, cudaMemcpyHostToDevice));
  struct Types {
    cudaDataType c, d, bias;
  };
  for (const Types types :
       {Types{CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF}, Types{CUDA_R_16BF, CUDA_R_8F_E4M3, CUDA_R_16BF},
        Types{CUDA_R_16F, CUDA_R_16F, CUDA_R_16F}, Types{CUDA_R_16F, CUDA_R_8F_E4M3, CUDA_R_16F},
        Types{CUDA_R_32F, CUDA_R_32F, CUDA_R_16BF}}) {
    for (const cublasLtEpilogue_t epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS}) {
      Setup s = Fp8();
      s.c = types.c, s.d = types.d, s.bias = types.bias, s.epilogue = epilogue;
      Problem p(s);
      p.RunAll("fp8");
      p.Set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, on_device);
      p.Set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, on_device + 1);
      BLAS(p.Run(nullptr));
      p.Check("fp8, scaled", 2.0);
    }
  }
}

void Fp8Vectors() {
  Setup s = Fp8();
  s.d = s.c = CUDA_R_32F;
  Problem p(s);
  OnDevice rows(CUDA_R_32F, s.m, 1, s.m), cols(CUDA_R_32F, s.n, 1, s.n);
  rows.Fill(), cols.Fill();
  p.Set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, rows.data);
  p.Set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, cols.data);
  p.Set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
  p.Set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
  BLAS(p.Run(nullptr));
  const std::vector<double> got = p.d.Download();
  for (int col = 0; col < s.n; col++) {
    for (int row = 0; row < s.m; row++) {
      double magnitude = 0;
      const double wanted = p.Wanted(row, col, &magnitude, rows.at(row, 0) * cols.at(col, 0));
      ExpectNear("vectors of scales", got[row + size_t(col) * s.m], wanted, Tolerance(s.d, wanted, magnitude, s.k), row,
                 col);
    }
  }
}

void Fp8Refused() {
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, Problem(Fp8()).Find(&results));
}

// A bias of its own for each product, C in place, factors that lie on the device.
void Batches() {
  constexpr int kBatches = 3;
  Setup s;
  s.m = 32, s.n = kBatches * 4, s.k = 64, s.alpha = 2, s.beta = 1;
  Problem all(s);  // its columns are cut into three products with A shared
  const int32_t batches = kBatches;
  const int64_t strides[] = {0, 4 * all.b.ld, 4 * all.c.ld, 4 * all.d.ld};
  const uint64_t cols = 4;
  for (int k = 0; k < 4; k++) {
    BLAS(
        cublasLtMatrixLayoutSetAttribute(all.layouts[k], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches, sizeof batches));
    BLAS(cublasLtMatrixLayoutSetAttribute(all.layouts[k], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &strides[k],
                                          sizeof strides[k]));
    if (k > 0) BLAS(cublasLtMatrixLayoutSetAttribute(all.layouts[k], CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof cols));
  }
  float factors[2] = {2, 1}, *on_device = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&on_device), sizeof factors));
  OK(cudaMemcpy(on_device, factors, sizeof factors, cudaMemcpyHostToDevice));
  all.Set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
  // In place: D is C.
  BLAS(cublasLtMatmul(all.handle, all.operation, on_device, all.a.data, all.layouts[0], all.b.data, all.layouts[1],
                      on_device + 1, all.c.data, all.layouts[2], all.c.data, all.layouts[2], nullptr, all.workspace,
                      s.workspace, nullptr));
  const std::vector<double> got = all.c.Download();
  for (int col = 0; col < s.n; col++) {
    for (int row = 0; row < s.m; row++) {
      double magnitude = 0;
      const double wanted = all.Wanted(row, col, &magnitude);
      ExpectNear("batch", got[row + size_t(col) * s.m], wanted, Tolerance(s.d, wanted, magnitude, s.k), row, col);
    }
  }
}

// As a worker does it: an algorithm chosen at start, the product captured, replayed on other inputs.
void Captured() {
  Problem p{Setup()};
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  BLAS(p.Find(&results));
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  BLAS(p.Run(&results[0].algo, stream));
  OK(cudaStreamEndCapture(stream, &graph));
  OK(cudaGraphInstantiate(&exec, graph, 0));
  for (int turn = 0; turn < 3; turn++) {
    p.b.Fill();
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    p.Check("replay " + std::to_string(turn));
  }
}

void Algorithms() {
  Setup s;
  s.k = 512, s.workspace = 0;
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  {
    Problem p(s);
    BLAS(p.Find(&results));
    EXPECT(results.size() == 1);
    EXPECT(results[0].workspaceSize == 0);
    BLAS(p.Run(&results[0].algo));
    p.Check("without workspace");
  }
  s.workspace = 1 << 20;
  Problem p(s);
  BLAS(p.Find(&results));
  EXPECT(results.size() > 1);
  EXPECT(results[0].workspaceSize > 0);
  int32_t parts = 0;
  size_t written = 0;
  BLAS(cublasLtMatmulAlgoConfigGetAttribute(&results[0].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts,
                                            &written));
  EXPECT(parts > 1 && written == sizeof parts);
  cublasLtMatmulHeuristicResult_t checked;
  BLAS(cublasLtMatmulAlgoCheck(p.handle, p.operation, p.layouts[0], p.layouts[1], p.layouts[2], p.layouts[3],
                               &results[0].algo, &checked));
  EXPECT(checked.workspaceSize == results[0].workspaceSize);
  // The workspace does not survive.
  std::vector<char> mark(results[0].workspaceSize, 7);
  OK(cudaMemcpy(p.workspace, mark.data(), mark.size(), cudaMemcpyHostToDevice));
  BLAS(p.Run(&results[0].algo));
  std::vector<char> after(mark.size());
  OK(cudaMemcpy(after.data(), p.workspace, after.size(), cudaMemcpyDeviceToHost));
  EXPECT(after != mark);
  // Too small, not aligned, and an algorithm for another number of rows.
  p.s.workspace = results[0].workspaceSize - 256;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(&results[0].algo));
  p.s.workspace = results[0].workspaceSize, p.s.workspace_offset = 128;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(&results[0].algo));
  s.n = 6;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, Problem(s).Run(&results[0].algo));
}

// What the library is asked for when the algorithm is chosen is refused then, and by the product itself.
void Refused(cublasStatus_t wanted, const Setup& s) {
  Problem p(s);
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ANSWERS(wanted, p.Find(&results));
  ANSWERS(wanted, p.Run(nullptr));
}

void Refusals() {
  Setup s;
  s.compute = CUBLAS_COMPUTE_16F;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.c = CUDA_R_32F;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.d = CUDA_R_16F;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.scale = CUDA_R_16BF;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.epilogue = CUBLASLT_EPILOGUE_BIAS, s.bias = CUDA_R_32F;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.epilogue = CUBLASLT_EPILOGUE_GELU_AUX;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  for (const int ld : {65, 68}) {  // no multiples of 16 bytes
    s = Setup(), s.lda = ld;
    Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  }
  s = Setup(), s.ldc = 50;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Setup(), s.transa = CUBLAS_OP_C;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Int8(), s.transa = CUBLAS_OP_N;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Int8(), s.transb = CUBLAS_OP_T, s.n = 16;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Int8(), s.m = 50, s.ldc = 52;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Int8(), s.epilogue = CUBLASLT_EPILOGUE_BIAS;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
  s = Int8(), s.d = s.c = CUDA_R_8I;
  Refused(CUBLAS_STATUS_NOT_SUPPORTED, s);
}

// Descriptors that contradict each other, pointers that cannot be.
void Mistakes() {
  Problem p{Setup()};
  const uint64_t rows = 96;
  const int64_t ld = 40;
  const int32_t row_major = CUBLASLT_ORDER_ROW;
  const auto with = [&](int layout, cublasLtMatrixLayoutAttribute_t attribute, auto value, cublasStatus_t wanted) {
    auto before = value;
    BLAS(cublasLtMatrixLayoutGetAttribute(p.layouts[layout], attribute, &before, sizeof before, nullptr));
    BLAS(cublasLtMatrixLayoutSetAttribute(p.layouts[layout], attribute, &value, sizeof value));
    ANSWERS(wanted, p.Run(nullptr));
    BLAS(cublasLtMatrixLayoutSetAttribute(p.layouts[layout], attribute, &before, sizeof before));
  };
  with(1, CUBLASLT_MATRIX_LAYOUT_ROWS, rows, CUBLAS_STATUS_INVALID_VALUE);
  with(3, CUBLASLT_MATRIX_LAYOUT_LD, ld, CUBLAS_STATUS_INVALID_VALUE);
  with(2, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{2}, CUBLAS_STATUS_INVALID_VALUE);
  with(0, CUBLASLT_MATRIX_LAYOUT_ORDER, row_major, CUBLAS_STATUS_NOT_SUPPORTED);
  BLAS(p.Run(nullptr));
  const auto at = [&](void*& pointer, void* instead, cublasStatus_t wanted) {
    void* const before = pointer;
    pointer = instead;
    ANSWERS(wanted, p.Run(nullptr));
    pointer = before;
  };
  at(p.a.data, nullptr, CUBLAS_STATUS_INVALID_VALUE);
  at(p.d.data, nullptr, CUBLAS_STATUS_INVALID_VALUE);
  at(p.d.data, p.b.data, CUBLAS_STATUS_INVALID_VALUE);  // D over B
  at(p.b.data, static_cast<char*>(p.b.data) + 8, CUBLAS_STATUS_NOT_SUPPORTED);
  // An algorithm that was found for matrices aligned to 256 bytes, which is what the preference says unless told
  // otherwise.
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  BLAS(p.Find(&results));
  OnDevice wide(CUDA_R_16BF, 64, 6, 64);
  wide.Fill();
  void* const before = p.b.data;
  p.b.data = static_cast<char*>(wide.data) + 128;
  ANSWERS(CUBLAS_STATUS_NOT_SUPPORTED, p.Run(&results[0].algo));
  const uint32_t alignment = 16;
  BLAS(cublasLtMatmulPreferenceSetAttribute(p.preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &alignment,
                                            sizeof alignment));
  BLAS(p.Find(&results));
  BLAS(p.Run(&results[0].algo));
  p.b.data = before;
  cublasLtMatmulAlgo_t nothing = {};
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(&nothing));
  // A scale for what has none, an attribute of the wrong size, a bias that is missing.
  int8_t small = 0;
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE,
          cublasLtMatmulDescSetAttribute(p.operation, CUBLASLT_MATMUL_DESC_TRANSA, &small, sizeof small));
  p.Set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.a.data);
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(nullptr));
  p.Set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<void*>(nullptr));
  p.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(nullptr));
  OK(cudaDeviceSynchronize());
}

void HandleOfAnotherDevice() {
  Problem p{Setup()};
  OK(cudaSetDevice(1));
  ANSWERS(CUBLAS_STATUS_INVALID_VALUE, p.Run(nullptr));
  OK(cudaSetDevice(0));
  BLAS(p.Run(nullptr));
}

// Found when the operation's turn comes: an error that stays.
void NeverWritten() {
  Problem p{Setup()};
  OnDevice empty(CUDA_R_16BF, p.b.rows, p.b.cols, p.b.ld);
  std::swap(empty.data, p.b.data);
  BLAS(p.Run(nullptr));
  OK(cudaDeviceSynchronize());
}
void OutOfBounds() {
  Problem p{Setup()};
  OnDevice small(CUDA_R_16BF, p.d.rows, p.d.cols - 1, p.d.ld);
  std::swap(small.data, p.d.data);
  BLAS(p.Run(nullptr));
  OK(cudaDeviceSynchronize());
}

constexpr Case kCases[] = {{"floats", Floats},
                           {"integers", Integers},
                           {"tf32", Tf32},
                           {"fp8", Fp8Products},
                           {"fp8_vectors", Fp8Vectors},
                           {"fp8_refused", Fp8Refused},
                           {"batches", Batches},
                           {"captured", Captured},
                           {"algorithms", Algorithms},
                           {"refusals", Refusals},
                           {"mistakes", Mistakes},
                           {"handle_of_another_device", HandleOfAnotherDevice},
                           {"never_written", NeverWritten},
                           {"out_of_bounds", OutOfBounds}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
