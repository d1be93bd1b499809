#include "tests/emulation/cublas/product.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/emulation/cublas/elements.h"
#include "tests/emulation/cublas/multiply.h"
#include "tests/emulation/cudart/stand_in.h"

namespace emulation {
namespace {

// Where matrix number `batch` lies on the host, every column checked: all of it in bounds and, when it is read, written
// before.
char* OnHost(const Product& p, const Matrix& x, const char* name, int batch, bool reads) {
  const int64_t element = static_cast<int64_t>(BytesOf(x.type));
  const char* first = static_cast<const char*>(x.data) + batch * x.stride * element;
  const std::string what = std::string(p.call) + ": matrix " + name + ", " + std::to_string(x.rows) + " x " +
                           std::to_string(x.cols) + " of " + NameOf(x.type) + ", ld " + std::to_string(x.ld);
  const bool whole = x.ld == x.rows;
  void* host = nullptr;
  for (int64_t column = 0; column < (whole ? 1 : x.cols); column++) {
    const int64_t bytes = x.rows * (whole ? x.cols : 1) * element;
    void* at = emulated_host(first + column * x.ld * element, bytes, reads ? 1 : 0, what.c_str());
    if (at == nullptr) return nullptr;
    if (column == 0) host = at;
  }
  return static_cast<char*>(host);
}

void MarkWritten(const Matrix& x, int batch) {
  const int64_t element = static_cast<int64_t>(BytesOf(x.type));
  const char* first = static_cast<const char*>(x.data) + batch * x.stride * element;
  for (int64_t column = 0; column < x.cols; column++)
    emulated_written(first + column * x.ld * element, x.rows * element);
}

// `count` values of `type` at a device address. False: they cannot be read.
bool Fetch(const Product& p, const void* from, cudaDataType type, int64_t count, const char* name,
           std::vector<float>* to) {
  const std::string what = std::string(p.call) + ": " + name;
  const void* host = emulated_host(from, count * BytesOf(type), 1, what.c_str());
  if (host == nullptr) return false;
  to->resize(count);
  Widen(type, host, count, to->data());
  return true;
}

bool FetchFactor(const Product& p, const char* name, Factor* factor) {
  if (!factor->on_device) return true;
  const std::string what = std::string(p.call) + ": " + name + " on the device";
  const void* host = emulated_host(factor->device, 4, 1, what.c_str());
  if (host == nullptr) return false;
  memcpy(&factor->f32, host, 4);
  memcpy(&factor->i32, host, 4);
  return true;
}

// `lines` factors, all 1 without a scale.
bool FetchScale(const Product& p, const Scale& scale, int64_t lines, const char* name, std::vector<float>* to) {
  to->assign(lines, 1.0F);
  if (scale.data == nullptr) return true;
  if (!Fetch(p, scale.data, CUDA_R_32F, scale.vector ? lines : 1, name, to)) return false;
  if (!scale.vector) to->assign(lines, to->front());
  return true;
}

float Gelu(float x) {
  constexpr float kRoot = 0.7978845608F;  // √(2/π)
  return 0.5F * x * (1.0F + std::tanh(kRoot * (x + 0.044715F * x * x * x)));
}

// What the parts of k leave behind where a card keeps its partial sums: bytes that mean nothing.
bool UseWorkspace(const Product& p) {
  if (p.workspace_bytes == 0) return true;
  const std::string what = std::string(p.call) + ": workspace";
  void* host = emulated_host(p.workspace, p.workspace_bytes, 0, what.c_str());
  if (host == nullptr) return false;
  memset(host, 0xff, p.workspace_bytes);
  emulated_written(p.workspace, p.workspace_bytes);
  return true;
}

template <class T>
std::vector<T> Sums(const Product& p, const Lines& a, const Lines& b) {
  std::vector<T> sums(p.m * p.n), part(p.parts > 1 ? p.m * p.n : 0);
  for (int number = 0; number < p.parts; number++) {
    const int64_t begin = p.k * number / p.parts, end = p.k * (number + 1) / p.parts;
    Multiply(a, b, begin, end, number == 0 ? sums.data() : part.data());
    for (size_t i = 0; number > 0 && i < sums.size(); i++) sums[i] += part[i];
  }
  return sums;
}

struct Buffers {
  Lines a, b;
  const char* c;  // nullptr when beta is 0: then it is not read
  char* d;
};

void StoreIntegers(const Product& p, const Buffers& buffers) {
  const std::vector<uint32_t> sums = Sums<uint32_t>(p, buffers.a, buffers.b);
  const auto alpha = static_cast<uint32_t>(p.alpha.i32), beta = static_cast<uint32_t>(p.beta.i32);
  for (int64_t j = 0; j < p.n; j++) {
    std::vector<uint32_t> column(p.m);
    if (buffers.c != nullptr) memcpy(column.data(), buffers.c + j * p.c.ld * 4, p.m * 4);
    for (int64_t i = 0; i < p.m; i++) column[i] = alpha * sums[i + j * p.m] + beta * column[i];
    memcpy(buffers.d + j * p.d.ld * 4, column.data(), p.m * 4);
  }
}

struct Vectors {
  std::vector<float> a_scale, b_scale, c_scale, d_scale, bias;
};

void StoreFloats(const Product& p, const Buffers& buffers, const Vectors& v) {
  const std::vector<float> sums = Sums<float>(p, buffers.a, buffers.b);
  std::vector<float> column(p.m), before(p.m);
  for (int64_t j = 0; j < p.n; j++) {
    if (buffers.c != nullptr) Widen(p.c.type, buffers.c + j * p.c.ld * BytesOf(p.c.type), p.m, before.data());
    for (int64_t i = 0; i < p.m; i++) {
      float x = p.alpha.f32 * v.a_scale[i] * v.b_scale[j] * sums[i + j * p.m];
      if (buffers.c != nullptr) x += p.beta.f32 * v.c_scale[0] * before[i];
      if (p.has_bias) x += v.bias[i];
      if (p.relu) x = std::max(x, 0.0F);
      if (p.gelu) x = Gelu(x);
      column[i] = x * v.d_scale[0];
    }
    Narrow(p.d.type, column.data(), p.m, buffers.d + j * p.d.ld * BytesOf(p.d.type));
  }
}

bool ComputeOne(const Product& p, int batch) {
  const char* a = OnHost(p, p.a, "A", batch, true);
  const char* b = a == nullptr ? nullptr : OnHost(p, p.b, "B", batch, true);
  if (b == nullptr) return false;
  const bool reads_c = p.scale == CUDA_R_32I ? p.beta.i32 != 0 : p.beta.f32 != 0;
  Buffers buffers{};
  if (reads_c && (buffers.c = OnHost(p, p.c, "C", batch, true)) == nullptr) return false;
  if ((buffers.d = OnHost(p, p.d, "D", batch, false)) == nullptr) return false;
  const bool tf32 = p.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  buffers.a = {a, p.a.type, p.m, p.a.ld, p.transa != CUBLAS_OP_N, tf32};
  buffers.b = {b, p.b.type, p.n, p.b.ld, p.transb == CUBLAS_OP_N, tf32};
  if (p.scale == CUDA_R_32I) {
    StoreIntegers(p, buffers);
  } else {
    Vectors v;
    if (!FetchScale(p, p.a_scale, p.m, "scale of A", &v.a_scale) ||
        !FetchScale(p, p.b_scale, p.n, "scale of B", &v.b_scale) ||
        !FetchScale(p, p.c_scale, 1, "scale of C", &v.c_scale) ||
        !FetchScale(p, p.d_scale, 1, "scale of D", &v.d_scale))
      return false;
    const char* bias = static_cast<const char*>(p.bias) + batch * p.bias_stride * BytesOf(p.bias_type);
    if (p.has_bias && !Fetch(p, bias, p.bias_type, p.m, "bias", &v.bias)) return false;
    StoreFloats(p, buffers, v);
  }
  MarkWritten(p.d, batch);
  return true;
}

}  // namespace

void Compute(const Product& product) {
  Product p = product;
  if (!FetchFactor(p, "alpha", &p.alpha) || !FetchFactor(p, "beta", &p.beta) || !UseWorkspace(p)) return;
  for (int batch = 0; batch < p.batches; batch++) {
    if (!ComputeOne(p, batch)) return;
  }
}

cublasStatus_t Enqueue(const Product& product, cudaStream_t stream) {
  const auto run = [](void* context) {
    Compute(*static_cast<const Product*>(context));
    return 1;
  };
  const auto release = [](void* context) { delete static_cast<Product*>(context); };
  return emulated_push(stream, run, release, new Product(product)) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                                  : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace emulation
