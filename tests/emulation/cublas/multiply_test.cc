// The sums of the emulated cuBLAS against double, and their independence of the sizes around them.
#include "tests/emulation/cublas/multiply.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

struct Shape {
  int m, n, k;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {16, 6, 8}, {17, 7, 513}, {5, 40, 33}, {50, 3, 1025}};

std::vector<float> Values(std::mt19937& random, int count) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& x : values) x = uniform(random);
  return values;
}

TEST(Multiply, MatchesDoubleForBothWaysThatOperandsLie) {
  std::mt19937 random(3);
  for (const Shape s : kShapes) {
    for (const bool a_along : {false, true}) {
      for (const bool b_along : {false, true}) {
        const int lda = (a_along ? s.k : s.m) + 3, ldb = (b_along ? s.k : s.n) + 5;
        const std::vector<float> a = Values(random, lda * (a_along ? s.m : s.k)),
                                 b = Values(random, ldb * (b_along ? s.n : s.k));
        std::vector<float> sums(s.m * s.n);
        Multiply({a.data(), CUDA_R_32F, s.m, lda, a_along}, {b.data(), CUDA_R_32F, s.n, ldb, b_along}, 0, s.k,
                 sums.data());
        for (int i = 0; i < s.m; i++) {
          for (int j = 0; j < s.n; j++) {
            double sum = 0, magnitude = 0;
            for (int p = 0; p < s.k; p++) {
              const double product =
                  double{a_along ? a[p + i * lda] : a[i + p * lda]} * double{b_along ? b[p + j * ldb] : b[j + p * ldb]};
              sum += product;
              magnitude += std::abs(product);
            }
            ASSERT_NEAR(sums[i + j * s.m], sum, 6e-8 * (s.k + 1) * magnitude)
                << s.m << " " << s.n << " " << s.k << " " << i << " " << j;
          }
        }
      }
    }
  }
}

TEST(Multiply, AnElementHasTheSameBitsWhateverTheNumberOfRowsAndColumns) {
  std::mt19937 random(4);
  constexpr int kSteps = 700, kMany = 33;
  const std::vector<float> a = Values(random, kMany * kSteps), b = Values(random, kMany * kSteps);
  std::vector<float> all(kMany * kMany), one(1);
  Multiply({a.data(), CUDA_R_32F, kMany, kSteps, true}, {b.data(), CUDA_R_32F, kMany, kSteps, true}, 0, kSteps,
           all.data());
  for (const int i : {0, 15, 16, 32}) {
    for (const int j : {0, 5, 6, 32}) {
      Multiply({&a[i * kSteps], CUDA_R_32F, 1, kSteps, true}, {&b[j * kSteps], CUDA_R_32F, 1, kSteps, true}, 0, kSteps,
               one.data());
      EXPECT_EQ(one[0], all[i + j * kMany]) << i << " " << j;
    }
  }
}

TEST(Multiply, PartsOfALongSumAddUp) {
  std::mt19937 random(5);
  constexpr int kSteps = 600;
  const std::vector<float> a = Values(random, kSteps), b = Values(random, kSteps);
  const Lines x{a.data(), CUDA_R_32F, 1, kSteps, true}, y{b.data(), CUDA_R_32F, 1, kSteps, true};
  float whole = 0, first = 0, second = 0;
  Multiply(x, y, 0, kSteps, &whole);
  Multiply(x, y, 0, 250, &first);
  Multiply(x, y, 250, kSteps, &second);
  EXPECT_NEAR(first + second, whole, 1e-4);
}

TEST(Multiply, Int8IsExactWhereF32WouldNotBe) {
  constexpr int kSteps = 4099;
  std::vector<int8_t> a(kSteps), b(kSteps);
  int64_t sum = 0;
  for (int p = 0; p < kSteps; p++) {
    a[p] = static_cast<int8_t>(-128 + p % 3);
    b[p] = static_cast<int8_t>(-127 - p % 2);
    sum += int64_t{a[p]} * b[p];
  }
  uint32_t got = 0;
  Multiply({a.data(), CUDA_R_8I, 1, kSteps, true}, {b.data(), CUDA_R_8I, 1, kSteps, true}, 0, kSteps, &got);
  EXPECT_EQ(static_cast<int32_t>(got), sum);
  EXPECT_NE(static_cast<int64_t>(static_cast<float>(sum)), sum);
}

TEST(Multiply, Tf32CutsTheInputs) {
  const float a = 1.0F + 0x1p-12F, b = 1.0F;
  float plain = 0, cut = 0;
  Multiply({&a, CUDA_R_32F, 1, 1, true}, {&b, CUDA_R_32F, 1, 1, true}, 0, 1, &plain);
  Multiply({&a, CUDA_R_32F, 1, 1, true, true}, {&b, CUDA_R_32F, 1, 1, true, true}, 0, 1, &cut);
  EXPECT_EQ(plain, a);
  EXPECT_EQ(cut, 1.0F);
}

}  // namespace
}  // namespace emulation
