#include "llm-worker/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace headroom::llm_worker {
namespace {

std::vector<float> RandomLogits(std::mt19937& random, int64_t vocab, float width) {
  std::normal_distribution<float> normal(0, width);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = normal(random);
  return logits;
}

// Philox4x32-10 known answers from the authors' Random123 (kat_vectors): first two output words.
TEST(NoiseTest, MatchesThePublishedVectors) {
  const auto expected = [](uint32_t word0, uint32_t word1) {
    return static_cast<double>((uint64_t{word1} << 32 | word0) >> 11) * 0x1p-53;
  };
  EXPECT_EQ(Noise(0, 0, 0), expected(0x6627e8d5, 0xe169c58d));
}

TEST(NoiseTest, UniformAndDifferentForEveryArgument) {
  std::vector<int> histogram(64, 0);
  std::set<double> values;
  for (uint64_t position = 0; position < 64000; ++position) {
    const double u = Noise(7, 0, position);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++histogram[static_cast<int>(u * 64)];
    values.insert(u);
  }
  EXPECT_EQ(values.size(), 64000u);
  double chi2 = 0;
  for (const int n : histogram) chi2 += (n - 1000.0) * (n - 1000.0) / 1000.0;
  EXPECT_LT(chi2, 125);  // 63 degrees of freedom: 1 in 10^5; the seed is fixed
  EXPECT_NE(Noise(1, 0, 0), Noise(2, 0, 0));
  EXPECT_NE(Noise(uint64_t{1} << 40, 0, 0), Noise(0, 0, 0));
  EXPECT_NE(Noise(1, 0, 0), Noise(1, 1, 0));
  EXPECT_NE(Noise(1, 0, 0), Noise(1, 0, 1));
  EXPECT_NE(Noise(1, 0, 0), Noise(1, 0, uint64_t{1} << 32));
}

// Draws `draws` tokens and compares with probabilities by the chi-square statistic over tokens of noticeable weight.
double ChiSquare(Sampler& sampler, const std::vector<float>& logits, const Sampling& sampling,
                 const std::vector<double>& probabilities, int draws, int* cells) {
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i) ++counts[sampler.Sample(logits, sampling, {}, 0, i).value()];
  double chi2 = 0, rest_probability = 0;
  int rest = 0;
  *cells = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    const double expected = probabilities[id] * draws;
    if (expected < 10) {
      rest_probability += probabilities[id];
      rest += counts[id];
      if (probabilities[id] == 0) {
        EXPECT_EQ(counts[id], 0) << "token " << id << " was cut away";
      }
      continue;
    }
    chi2 += (counts[id] - expected) * (counts[id] - expected) / expected;
    ++*cells;
  }
  if (rest_probability * draws >= 10) {
    const double expected = rest_probability * draws;
    chi2 += (rest - expected) * (rest - expected) / expected;
    ++*cells;
  }
  return chi2;
}

// The distribution by the definition, slowly: sort, cut, normalise.
std::vector<double> Reference(const std::vector<float>& logits, const Sampling& s) {
  std::vector<int> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
  if (s.top_k > 0 && s.top_k < static_cast<int>(order.size())) order.resize(s.top_k);
  double total = 0;
  for (const int id : order) total += std::exp(logits[id] / double{s.temperature});
  std::vector<double> p(logits.size(), 0);
  double kept = 0;
  for (const int id : order) {
    if (kept >= s.top_p) break;
    p[id] = std::exp(logits[id] / double{s.temperature}) / total;
    kept += p[id];
  }
  for (double& x : p) x /= kept;
  return p;
}

TEST(SamplerTest, FollowsTheDistribution) {
  std::mt19937 random(20);
  const std::vector<float> logits = RandomLogits(random, 50, 2);
  Sampler sampler(50);
  const Sampling cases[] = {
      {.temperature = 1, .seed = 1},
      {.temperature = 0.5f, .seed = 2},
      {.temperature = 1, .top_k = 7, .seed = 3},
      {.temperature = 1, .top_p = 0.6f, .seed = 4},
      {.temperature = 1.5f, .top_p = 0.8f, .top_k = 20, .seed = 5},
  };
  for (const Sampling& sampling : cases) {
    int cells = 0;
    const double chi2 = ChiSquare(sampler, logits, sampling, Reference(logits, sampling), 20000, &cells);
    // Mean = cells − 1, deviation √(2·cells): six deviations. The seeds are fixed, so this fails always or never.
    EXPECT_LT(chi2, cells + 6 * std::sqrt(2.0 * cells)) << "seed " << sampling.seed << ", cells " << cells;
    EXPECT_GT(cells, 2);
  }
}

TEST(SamplerTest, GreedyTakesTheLargestAndTheLowestIdAmongEquals) {
  Sampler sampler(4);
  const std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 0}, {}, 0, 0).value(), 1);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 1, .top_k = 1}, {}, 0, 0).value(), 1);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 1, .top_p = 1e-6f}, {}, 0, 0).value(), 1);
  EXPECT_THAT(sampler.Sample(logits, {.temperature = 1e-30f}, {}, 0, 0).value(), testing::AnyOf(1, 2));
}

TEST(SamplerTest, RepetitionPenaltyDividesPositiveAndMultipliesNegativeOnce) {
  Sampler sampler(3);
  const Sampling greedy = {.temperature = 0, .repetition_penalty = 2};
  // 4 → 2 once: still above 1.5; penalized twice it would be 1.
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 1.5f, 0}, greedy, std::vector<int32_t>{0, 0}, 0, 0).value(), 0);
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 2.5f, 0}, greedy, std::vector<int32_t>{0}, 0, 0).value(), 1);
  // −1 → −2 falls below −1.5.
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1, -1.5f, -9}, greedy, std::vector<int32_t>{0}, 0, 0).value(), 1);
  // The marks of one call do not reach into the next.
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 2.5f, 0}, greedy, {}, 0, 0).value(), 0);
}

TEST(SamplerTest, SameRequestSameAnswerWhateverWasSampledBetween) {
  std::mt19937 random(3);
  const std::vector<float> logits = RandomLogits(random, 1000, 3), other = RandomLogits(random, 1000, 3);
  Sampler alone(1000), busy(1000);
  for (int position = 0; position < 200; ++position) {
    const Sampling sampling = {.temperature = 0.9f, .top_p = 0.95f, .top_k = 50, .seed = 77};
    const int32_t token = alone.Sample(logits, sampling, {}, 2, position).value();
    ASSERT_TRUE(busy.Sample(other, {.temperature = 1.3f, .repetition_penalty = 1.5f, .seed = 5},
                            std::vector<int32_t>{1, 2, 3}, 0, position)
                    .ok());
    EXPECT_EQ(busy.Sample(logits, sampling, {}, 2, position).value(), token);
  }
}

TEST(SamplerTest, RefusesParametersPastTheirLimits) {
  Sampler sampler(2);
  const std::vector<float> logits = {0, 1};
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  const Sampling bad[] = {{.temperature = -0.1f},
                          {.temperature = 100.5f},
                          {.temperature = nan},
                          {.top_p = 0},
                          {.top_p = 1.01f},
                          {.top_p = nan},
                          {.top_k = -1},
                          {.repetition_penalty = 0},
                          {.repetition_penalty = -1},
                          {.repetition_penalty = 101},
                          {.repetition_penalty = nan},
                          {.temperature = inf}};
  for (const Sampling& sampling : bad) {
    EXPECT_EQ(sampler.Sample(logits, sampling, {}, 0, 0).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(sampler.Sample(logits, {.temperature = 100, .top_p = 1, .top_k = 1000}, {}, 0, 0).ok());
  const Sampling penalty = {.repetition_penalty = 1.2f};
  EXPECT_FALSE(sampler.Sample(logits, penalty, std::vector<int32_t>{2}, 0, 0).ok());
  EXPECT_FALSE(sampler.Sample(logits, penalty, std::vector<int32_t>{-1}, 0, 0).ok());
  EXPECT_FALSE(sampler.Sample(std::vector<float>{1}, {}, {}, 0, 0).ok());
}

TEST(SamplerTest, BrokenLogitsAreAnErrorNotAToken) {
  Sampler sampler(3);
  for (const float bad :
       {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(sampler.Sample(std::vector<float>{0, bad, 1}, {}, {}, 0, 0).status().code(), absl::StatusCode::kInternal);
  }
  // Extreme but finite logits are fine.
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(sampler.Sample(std::vector<float>{-most, most, 0}, {}, {}, 0, 0).value(), 1);
  EXPECT_TRUE(sampler
                  .Sample(std::vector<float>{-most, most, 0}, {.temperature = 0.01f, .repetition_penalty = 100},
                          std::vector<int32_t>{0, 1, 2}, 0, 0)
                  .ok());
}

}  // namespace
}  // namespace headroom::llm_worker
