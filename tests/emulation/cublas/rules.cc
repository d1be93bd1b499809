#include "tests/emulation/cublas/rules.h"

#include <algorithm>
#include <cstdint>

#include "tests/emulation/cublas/elements.h"

namespace emulation {
namespace {

constexpr unsigned kGemmEx = 1, kGrouped = 2, kMatmul = 4;  // entries
constexpr unsigned kPlain = 1, kBias = 2, kActivation = 4;  // what may follow the sum

struct Combination {
  cublasComputeType_t compute;
  cudaDataType scale, ab, c, d, bias;
  unsigned entries, epilogues;
};

constexpr unsigned kAll = kPlain | kBias | kActivation;
// fp8 × fp8 → f32 is documented with a bias of 16BF; which activations go with it is not said.
constexpr Combination kCombinations[] = {
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF, kGemmEx | kGrouped | kMatmul,
     kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, kGemmEx | kGrouped | kMatmul,
     kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, kGemmEx | kGrouped | kMatmul,
     kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, kGemmEx | kMatmul, kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, kGemmEx | kMatmul, kAll},
    {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F,
     kGemmEx | kGrouped | kMatmul, kAll},
    {CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUDA_R_32I, kGemmEx | kMatmul, kPlain},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF, kMatmul, kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_8F_E4M3, CUDA_R_16BF, kMatmul, kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, kMatmul, kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_16F, CUDA_R_8F_E4M3, CUDA_R_16F, kMatmul, kAll},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_32F, CUDA_R_32F, CUDA_R_16BF, kMatmul, kPlain | kBias},
};

Verdict NotSupported(std::string why) { return {CUBLAS_STATUS_NOT_SUPPORTED, std::move(why)}; }
Verdict Invalid(std::string why) { return {CUBLAS_STATUS_INVALID_VALUE, std::move(why)}; }

unsigned BitOf(Entry entry) {
  return entry == Entry::kGemmEx ? kGemmEx : entry == Entry::kGrouped ? kGrouped : kMatmul;
}

const Combination* Find(const Product& p, Entry entry) {
  const cublasComputeType_t compute = p.compute == CUBLAS_COMPUTE_32F_PEDANTIC   ? CUBLAS_COMPUTE_32F
                                      : p.compute == CUBLAS_COMPUTE_32I_PEDANTIC ? CUBLAS_COMPUTE_32I
                                                                                 : p.compute;
  for (const Combination& c : kCombinations) {
    if (c.compute == compute && c.scale == p.scale && c.ab == p.a.type && c.ab == p.b.type && c.c == p.c.type &&
        c.d == p.d.type && (c.entries & BitOf(entry)) != 0)
      return &c;
  }
  return nullptr;
}

std::string TypesOf(const Product& p) {
  return std::string("A ") + NameOf(p.a.type) + ", B " + NameOf(p.b.type) + ", C " + NameOf(p.c.type) + ", D " +
         NameOf(p.d.type) + ", scale " + NameOf(p.scale) + ", compute type " + std::to_string(p.compute);
}

// op(X) is `rows` × `cols`.
Verdict CheckMatrix(const Matrix& x, const char* name, cublasOperation_t op, int64_t rows, int64_t cols, int batches) {
  if (op != CUBLAS_OP_N) std::swap(rows, cols);
  const std::string title = std::string("matrix ") + name;
  if (x.rows != rows || x.cols != cols)
    return Invalid(title + " is " + std::to_string(x.rows) + " x " + std::to_string(x.cols) + ", the product needs " +
                   std::to_string(rows) + " x " + std::to_string(cols));
  if (x.ld < std::max<int64_t>(1, x.rows))
    return Invalid(title + ": leading dimension " + std::to_string(x.ld) + " below its " + std::to_string(x.rows) +
                   " rows");
  const uint64_t element = BytesOf(x.type);
  if (x.ld * element % kAlignment != 0)
    return NotSupported(title + ": leading dimension " + std::to_string(x.ld) + " of " + NameOf(x.type) +
                        " is no multiple of 16 bytes");
  if (batches > 1 && x.stride * element % kAlignment != 0)
    return NotSupported(title + ": batch stride " + std::to_string(x.stride) + " is no multiple of 16 bytes");
  return {};
}

Verdict CheckSmallTypes(const Product& p, int capability) {
  const bool fp8 = p.a.type == CUDA_R_8F_E4M3, int8 = p.a.type == CUDA_R_8I;
  if (!fp8 && !int8) return {};
  const std::string type = NameOf(p.a.type);
  if (fp8 && capability < 89)
    return NotSupported(type + " needs capability 8.9, the device has " + std::to_string(capability / 10) + "." +
                        std::to_string(capability % 10));
  if (p.transa != CUBLAS_OP_T || p.transb != CUBLAS_OP_N)
    return NotSupported(type + " needs A transposed and B not (TN)");
  const int64_t multiple = fp8 ? 16 : 4;
  if (p.m % multiple != 0 || p.k % multiple != 0)
    return NotSupported(type + " needs m and k that are multiples of " + std::to_string(multiple) + ": m " +
                        std::to_string(p.m) + ", k " + std::to_string(p.k));
  return {};
}

Verdict CheckScales(const Product& p, int capability) {
  const bool fp8 = p.a.type == CUDA_R_8F_E4M3;
  if (!fp8 && (p.a_scale.data != nullptr || p.b_scale.data != nullptr || p.c_scale.data != nullptr ||
               p.d_scale.data != nullptr))
    return Invalid("scale pointers belong to 8-bit floats");
  if (p.c_scale.data != nullptr) return Invalid("a scale of C belongs to a C of 8-bit floats");
  if (p.d_scale.data != nullptr && p.d.type != CUDA_R_8F_E4M3)
    return Invalid("a scale of D belongs to a D of 8-bit floats");
  if (!p.a_scale.vector && !p.b_scale.vector) return {};
  if (p.a_scale.vector != p.b_scale.vector) return NotSupported("a vector of scales for A goes with one for B");
  if (p.a_scale.data == nullptr || p.b_scale.data == nullptr)
    return Invalid("vectors of scales without their pointers");
  if (capability != 90) return NotSupported("vectors of scales need capability 9.0");
  if (p.d.type == CUDA_R_8F_E4M3) return NotSupported("vectors of scales need a D of 16 or 32 bits");
  return {};
}

bool Overlap(const void* a, uint64_t a_bytes, const void* b, uint64_t b_bytes) {
  const auto x = reinterpret_cast<uint64_t>(a), y = reinterpret_cast<uint64_t>(b);
  return x < y + b_bytes && y < x + a_bytes;
}

uint64_t SpanOf(const Matrix& x, int batches) {
  if (x.cols == 0) return 0;
  return ((batches - 1) * x.stride + (x.cols - 1) * x.ld + x.rows) * BytesOf(x.type);
}

}  // namespace

uint64_t PartialSumBytes(const Product& p, int parts) {
  const uint64_t bytes = sizeof(float) * p.m * p.n * p.batches * parts;
  return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

Verdict CheckShape(const Product& p, Entry entry, int capability) {
  const Combination* combination = Find(p, entry);
  if (combination == nullptr) return NotSupported("types that are not documented: " + TypesOf(p));
  if (p.transa == CUBLAS_OP_C || p.transb == CUBLAS_OP_C) return NotSupported("CUBLAS_OP_C belongs to complex types");
  if (p.batches < 1) return Invalid("batch count " + std::to_string(p.batches));
  const bool in_place_types = p.c.type == p.d.type && p.c.ld == p.d.ld;
  if (p.c.data != nullptr && p.c.data == p.d.data && !in_place_types)
    return Invalid("in place, C and D need one layout");
  for (const Verdict& verdict :
       {CheckMatrix(p.a, "A", p.transa, p.m, p.k, p.batches), CheckMatrix(p.b, "B", p.transb, p.k, p.n, p.batches),
        CheckMatrix(p.c, "C", CUBLAS_OP_N, p.m, p.n, p.batches),
        CheckMatrix(p.d, "D", CUBLAS_OP_N, p.m, p.n, p.batches), CheckSmallTypes(p, capability),
        CheckScales(p, capability)}) {
    if (verdict.status != CUBLAS_STATUS_SUCCESS) return verdict;
  }
  if (p.batches > 1 && p.d.stride < (p.n - 1) * p.d.ld + p.m) return Invalid("matrices D of the batch overlap");
  if (p.has_bias && p.bias_type != combination->bias)
    return NotSupported(std::string("a bias of ") + NameOf(p.bias_type) + ", documented is " +
                        NameOf(combination->bias));
  if ((p.has_bias && (combination->epilogues & kBias) == 0) ||
      ((p.relu || p.gelu) && (combination->epilogues & kActivation) == 0))
    return NotSupported("an epilogue that is not documented for " + TypesOf(p));
  return {};
}

Verdict CheckPointers(const Product& p) {
  const struct {
    const char* name;
    const void* data;
    uint64_t bytes;
  } reads[] = {{"A", p.a.data, SpanOf(p.a, p.batches)},
               {"B", p.b.data, SpanOf(p.b, p.batches)},
               {"bias", p.has_bias ? p.bias : nullptr, p.m * BytesOf(p.bias_type)}};
  const uint64_t d_bytes = SpanOf(p.d, p.batches);
  for (const auto& x : reads) {
    if (x.data == nullptr && (x.name[0] != 'b' || p.has_bias))
      return Invalid(std::string(x.name) + " is a null pointer");
    if (reinterpret_cast<uint64_t>(x.data) % kAlignment != 0)
      return NotSupported(std::string(x.name) + " is not aligned to 16 bytes");
    if (x.data != nullptr && Overlap(x.data, x.bytes, p.d.data, d_bytes))
      return Invalid(std::string("D overlaps ") + x.name);
    if (x.data != nullptr && p.workspace_bytes > 0 && Overlap(x.data, x.bytes, p.workspace, p.workspace_bytes))
      return Invalid(std::string("the workspace overlaps ") + x.name);
  }
  if (p.d.data == nullptr || p.c.data == nullptr) return Invalid("C or D is a null pointer");
  if (reinterpret_cast<uint64_t>(p.d.data) % kAlignment != 0 || reinterpret_cast<uint64_t>(p.c.data) % kAlignment != 0)
    return NotSupported("C or D is not aligned to 16 bytes");
  if (p.c.data != p.d.data && Overlap(p.c.data, SpanOf(p.c, p.batches), p.d.data, d_bytes))
    return Invalid("C and D overlap");
  if (p.workspace_bytes > 0 && Overlap(p.workspace, p.workspace_bytes, p.d.data, d_bytes))
    return Invalid("the workspace overlaps D");
  return {};
}

}  // namespace emulation
