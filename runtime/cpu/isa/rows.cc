// Kernels on one row: conversion, sums, activations, norms, rotation, softmax.
#include "runtime/cpu/isa/fill.h"
#include "runtime/cpu/isa/simd.h"

namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE {
namespace {

template <typename X, typename Y>
void Convert(const void* x_in, void* y_out, int64_t n) {
  const X* x = static_cast<const X*>(x_in);
  Y* y = static_cast<Y*>(y_out);
  ForVectors(n, [&](int64_t i, int64_t lanes) { StoreSome(y + i, LoadSome(x + i, lanes), lanes); });
}

// Widening and narrowing would change the bits of a signalling NaN; a copy must not.
void CopyBf16(const void* x, void* y, int64_t n) { __builtin_memmove(y, x, static_cast<size_t>(n) * 2); }

template <typename X>
void AddTo(const void* x_in, float* y, int64_t n) {
  const X* x = static_cast<const X*>(x_in);
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    StoreSome(y + i, Add(LoadSome(y + i, lanes), LoadSome(x + i, lanes)), lanes);
  });
}

template <typename X>
void AddScaled(const void* x_in, float factor, float* y, int64_t n) {
  const X* x = static_cast<const X*>(x_in);
  const F factor_v = Set(factor);
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    StoreSome(y + i, MulAdd(LoadSome(x + i, lanes), factor_v, LoadSome(y + i, lanes)), lanes);
  });
}

// x / (1 + e^−z): silu for z = x.
inline F TimesSigmoid(F x, F z) { return Div(x, Add(Set(1.0f), Exp(Sub(Zero(), z)))); }

template <typename Y>
void GeluTanh(const float* x_in, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  // (1 + tanh u) / 2 = 1 / (1 + e^−2u), which loses nothing where tanh is close to −1.
  const F linear = Set(1.5957691216057308f);  // 2·√(2/π)
  const F cubic = Set(0.044715f * 1.5957691216057308f);
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F x = LoadSome(x_in + i, lanes);
    const F z = Mul(x, MulAdd(Mul(x, x), cubic, linear));
    StoreSome(y + i, TimesSigmoid(x, z), lanes);
  });
}

// x · Φ(x). Of the tail Φ(−|x|) = e^(−x²/2)·poly(t)/2, t = 1 / (1 + p|x|/√2), within 1e-7: Abramowitz and Stegun,
// 7.1.26.
template <typename Y>
void GeluErf(const float* x_in, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F x = LoadSome(x_in + i, lanes);
    // Bounded, so that infinity times a tail of 0 is no NaN.
    const F size = Min(Set(100.0f), Max(Sub(Zero(), x), x));
    const F t = Div(Set(1.0f), MulAdd(size, Set(0.3275911f * 0.70710678f), Set(1.0f)));
    F p = Set(1.061405429f);
    p = MulAdd(p, t, Set(-1.453152027f));
    p = MulAdd(p, t, Set(1.421413741f));
    p = MulAdd(p, t, Set(-0.284496736f));
    p = MulAdd(p, t, Set(0.254829592f));
    const F tail = Mul(Mul(Mul(p, t), Set(0.5f)), Exp(Mul(Mul(size, size), Set(-0.5f))));
    // max(x, 0) − |x|·Φ(−|x|): both signs at once, and nothing is lost where x is far from 0.
    StoreSome(y + i, NegMulAdd(size, tail, Max(Zero(), x)), lanes);
  });
}

template <typename Y>
void SiluMul(const float* gate, const float* up, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F g = LoadSome(gate + i, lanes);
    StoreSome(y + i, Mul(TimesSigmoid(g, g), LoadSome(up + i, lanes)), lanes);
  });
}

// Σ f(x[i]) in four running vectors, so that long rows lose little to rounding.
template <typename Term>
inline float SumOf(const float* x, int64_t n, Term term) {
  F sums[4] = {Zero(), Zero(), Zero(), Zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int64_t j = 0; j < 4; ++j) sums[j] = Add(sums[j], term(Load(x + i + j * kLanes)));
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = Add(sums[0], term(Load(x + i)));
  if (i < n) sums[1] = Add(sums[1], KeepFirst(term(LoadFirst(x + i, n - i)), Zero(), n - i));
  return Sum(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
}

template <typename Y>
void LayerNorm(const float* x, const float* gain, const float* bias, float eps, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  const float mean = SumOf(x, n, [](F v) { return v; }) / static_cast<float>(n);
  const F mean_v = Set(mean);
  const float squares = SumOf(x, n, [&](F v) {
    const F d = Sub(v, mean_v);
    return Mul(d, d);
  });
  const F factor = Set(1.0f / sqrtf(squares / static_cast<float>(n) + eps));
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F normed = Mul(Sub(LoadSome(x + i, lanes), mean_v), factor);
    const F shift = bias == nullptr ? Zero() : LoadSome(bias + i, lanes);
    StoreSome(y + i, MulAdd(normed, LoadSome(gain + i, lanes), shift), lanes);
  });
}

template <typename Y>
void RmsNorm(const float* x, const float* gain, float eps, bool accumulate, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  const float squares = SumOf(x, n, [](F v) { return Mul(v, v); });
  const F factor = Set(1.0f / sqrtf(squares / static_cast<float>(n) + eps));
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F before = accumulate ? LoadSome(y + i, lanes) : Zero();
    StoreSome(y + i, MulAdd(Mul(LoadSome(x + i, lanes), factor), LoadSome(gain + i, lanes), before), lanes);
  });
}

void Rotate(float* a, float* b, const float* cos, const float* sin, int64_t n) {
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F x = LoadSome(a + i, lanes), y = LoadSome(b + i, lanes);
    const F c = LoadSome(cos + i, lanes), s = LoadSome(sin + i, lanes);
    StoreSome(a + i, NegMulAdd(y, s, Mul(x, c)), lanes);
    StoreSome(b + i, MulAdd(x, s, Mul(y, c)), lanes);
  });
}

template <typename P>
float SoftmaxStep(float* scores, int64_t n, int64_t n_padded, float scale, float* running_max, float* running_sum,
                  void* p_out) {
  P* p = static_cast<P*>(p_out);
  const F scale_v = Set(scale);
  const F lowest = Set(-INFINITY);
  F largest = lowest;
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F t = Mul(LoadSome(scores + i, lanes), scale_v);
    StoreSome(scores + i, t, lanes);
    largest = Max(largest, lanes == kLanes ? t : KeepFirst(t, lowest, lanes));
  });
  const float old_max = *running_max;
  const float block_max = Largest(largest);
  const float new_max = block_max > old_max ? block_max : old_max;
  const F new_max_v = Set(new_max);
  F sum = Zero();
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F e = Exp(Sub(LoadSome(scores + i, lanes), new_max_v));
    sum = Add(sum, lanes == kLanes ? e : KeepFirst(e, Zero(), lanes));
    StoreSome(p + i, e, lanes);
  });
  for (int64_t i = n; i < n_padded; ++i) p[i] = 0;
  const float correction = old_max == new_max ? 1.0f : expf(old_max - new_max);
  *running_sum = *running_sum * correction + Sum(sum);
  *running_max = new_max;
  return correction;
}

template <typename Y>
void Scale(const float* x, float factor, void* y_out, int64_t n) {
  Y* y = static_cast<Y*>(y_out);
  const F factor_v = Set(factor);
  ForVectors(n, [&](int64_t i, int64_t lanes) { StoreSome(y + i, Mul(LoadSome(x + i, lanes), factor_v), lanes); });
}

}  // namespace

void FillRows(Kernels* k) {
  k->convert[kElementF32][kElementF32] = Convert<float, float>;
  k->convert[kElementF32][kElementBf16] = Convert<float, uint16_t>;
  k->convert[kElementBf16][kElementF32] = Convert<uint16_t, float>;
  k->convert[kElementBf16][kElementBf16] = CopyBf16;
  k->add[kElementF32] = AddTo<float>;
  k->add[kElementBf16] = AddTo<uint16_t>;
  k->add_scaled[kElementF32] = AddScaled<float>;
  k->add_scaled[kElementBf16] = AddScaled<uint16_t>;
  k->gelu_tanh[kElementF32] = GeluTanh<float>;
  k->gelu_tanh[kElementBf16] = GeluTanh<uint16_t>;
  k->gelu_erf[kElementF32] = GeluErf<float>;
  k->gelu_erf[kElementBf16] = GeluErf<uint16_t>;
  k->silu_mul[kElementF32] = SiluMul<float>;
  k->silu_mul[kElementBf16] = SiluMul<uint16_t>;
  k->layer_norm[kElementF32] = LayerNorm<float>;
  k->layer_norm[kElementBf16] = LayerNorm<uint16_t>;
  k->rms_norm[kElementF32] = RmsNorm<float>;
  k->rms_norm[kElementBf16] = RmsNorm<uint16_t>;
  k->rotate = Rotate;
  k->softmax_step[kElementF32] = SoftmaxStep<float>;
  k->softmax_step[kElementBf16] = SoftmaxStep<uint16_t>;
  k->scale[kElementF32] = Scale<float>;
  k->scale[kElementBf16] = Scale<uint16_t>;
}

}  // namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE
