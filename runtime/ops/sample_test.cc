#include "runtime/ops/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/ops/sample_math.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

std::vector<float> RandomLogits(std::mt19937& random, int64_t vocab, float width) {
  std::normal_distribution<float> normal(0, width);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = normal(random);
  return logits;
}

std::vector<uint32_t> Bits(int64_t vocab, const std::vector<int32_t>& ids) {
  std::vector<uint32_t> bits(static_cast<size_t>(SeenWords(vocab)), 0);
  for (const int32_t id : ids) bits[static_cast<size_t>(id / 32)] |= uint32_t{1} << (id % 32);
  return bits;
}

// What else a row may ask.
struct Rules {
  std::vector<LogitChange> changes = {};
  std::vector<int32_t> vocabulary = {}, allowed = {};  // none: all ids
  int32_t token = -1, alternatives = -1;
};

// Rows of logits of one vocabulary, sampled on the device one at a time.
class Sampler {
 public:
  Sampler(Device& device, int64_t vocab)
      : device_(device),
        vocab_(vocab),
        logits_(device, vocab * static_cast<int64_t>(sizeof(float))),
        row_(device, sizeof(SampleRow)),
        seen_(device, SeenWords(vocab) * static_cast<int64_t>(sizeof(uint32_t))),
        changes_(device, vocab * static_cast<int64_t>(sizeof(LogitChange))),
        allowed_(device, 2 * SeenWords(vocab) * static_cast<int64_t>(sizeof(uint32_t))),
        token_(device, sizeof(int32_t)),
        measured_(device, sizeof(LogitMeasure)),
        alternatives_(device, kAlternativesMax * sizeof(Alternative)),
        scratch_(device, SampleScratchBytes(vocab)) {}

  // INTERNAL: a logit that is not finite. NOT_FOUND: no id is allowed.
  absl::StatusOr<int32_t> Sample(const std::vector<float>& logits, const Sampling& sampling,
                                 const std::vector<int32_t>& seen, uint32_t choice, uint64_t position,
                                 const Rules& rules = {}) {
    HEADROOM_RETURN_IF_ERROR(CheckSampling(sampling));
    const SampleRow row = {.sampling = sampling,
                           .position = position,
                           .choice = choice,
                           .allowed = rules.allowed.empty() ? 0 : 1,
                           .changes = static_cast<int32_t>(rules.changes.size()),
                           .token = rules.token,
                           .alternatives = rules.alternatives};
    std::vector<LogitChange> changes = rules.changes;
    changes.resize(static_cast<size_t>(vocab_));
    std::vector<uint32_t> allowed(static_cast<size_t>(SeenWords(vocab_)), ~uint32_t{0});
    if (!rules.vocabulary.empty()) allowed = Bits(vocab_, rules.vocabulary);
    const std::vector<uint32_t> of_row = Bits(vocab_, rules.allowed);
    allowed.insert(allowed.end(), of_row.begin(), of_row.end());
    logits_.Upload(logits.data());
    row_.Upload(&row);
    seen_.Upload(Bits(vocab_, seen).data());
    changes_.Upload(changes.data());
    allowed_.Upload(allowed.data());
    HEADROOM_RETURN_IF_ERROR(runtime::Sample(device_, Args()));
    int32_t token = 0;
    token_.Download(&token);
    measured_.Download(&measured);
    alternatives_.Download(alternatives.data());
    if (token == kNotFinite) return absl::InternalError("not finite");
    if (token == kNoneAllowed) return absl::NotFoundError("none allowed");
    return token;
  }

  SampleArgs Args() const {
    return {.logits = Matrix{logits_.data(), DType::kF32, 1, vocab_, vocab_},
            .rows = {row_.data(), 1},
            .seen = {seen_.data(), SeenWords(vocab_)},
            .changes = {changes_.data(), vocab_},
            .allowed = {allowed_.data(), 2 * SeenWords(vocab_)},
            .tokens = {token_.data(), 1},
            .measured = {measured_.data(), 1},
            .alternatives = {alternatives_.data(), kAlternativesMax},
            .scratch = scratch_.span()};
  }

  // Of the latest row, if it asked.
  LogitMeasure measured;
  std::array<Alternative, kAlternativesMax> alternatives;

 private:
  Device& device_;
  const int64_t vocab_;
  DeviceBuffer logits_, row_, seen_, changes_, allowed_, token_, measured_, alternatives_, scratch_;
};

using SampleTest = OpTest;

// Philox4x32-10 known answers from the authors' Random123 (kat_vectors): first two output words.
TEST(NoiseTest, MatchesThePublishedVectors) {
  const auto expected = [](uint32_t word0, uint32_t word1) { return (uint64_t{word1} << 32 | word0) >> 11; };
  EXPECT_EQ(Noise(0, 0, 0), expected(0x6627e8d5, 0xe169c58d));
}

TEST(NoiseTest, UniformAndDifferentForEveryArgument) {
  std::vector<int> histogram(64, 0);
  std::set<double> values;
  for (uint64_t position = 0; position < 64000; ++position) {
    const double u = static_cast<double>(Noise(7, 0, position)) * 0x1p-53;
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
  double reached = 0, kept = 0;
  for (const int id : order) {
    if (reached >= s.top_p) break;
    const double own = std::exp(logits[id] / double{s.temperature}) / total;
    reached += own;
    if (std::exp((logits[id] - logits[order[0]]) / double{s.temperature}) < s.min_p) break;
    p[id] = own;
    kept += own;
  }
  for (double& x : p) x /= kept;
  return p;
}

TEST_F(SampleTest, FollowsTheDistribution) {
  std::mt19937 random(20);
  const std::vector<float> logits = RandomLogits(random, 50, 2);
  Sampler sampler(device(), 50);
  const Sampling cases[] = {
      {.temperature = 1, .seed = 1},
      {.temperature = 0.5f, .seed = 2},
      {.temperature = 1, .top_k = 7, .seed = 3},
      {.temperature = 1, .top_p = 0.6f, .seed = 4},
      {.temperature = 1.5f, .top_p = 0.8f, .top_k = 20, .seed = 5},
      {.temperature = 1, .min_p = 0.1f, .seed = 6},
      {.temperature = 2, .top_p = 0.95f, .top_k = 40, .min_p = 0.05f, .seed = 7},
  };
  for (const Sampling& sampling : cases) {
    int cells = 0;
    // Every draw is a launch, which an emulated card takes its time for.
    const int draws = TestDeviceOptions().kind == "cuda" ? 500 : 20000;
    const double chi2 = ChiSquare(sampler, logits, sampling, Reference(logits, sampling), draws, &cells);
    // Mean = cells − 1, deviation √(2·cells): six deviations. The seeds are fixed, so this fails always or never.
    EXPECT_LT(chi2, cells + 6 * std::sqrt(2.0 * cells)) << "seed " << sampling.seed << ", cells " << cells;
    EXPECT_GT(cells, 2);
  }
}

TEST(SampleMathTest, WeightsArePowersOfE) {
  for (const int64_t vocab : {2, 151666, 1 << 28}) {
    const int unit_bits = UnitBits(vocab);
    EXPECT_LT(std::ldexp(static_cast<double>(vocab), unit_bits), 0x1p62);
    EXPECT_EQ(Weight(3.0f, 3.0f, 0.7f, unit_bits), uint64_t{1} << unit_bits);
    uint64_t last = 0;
    for (float logit = -60.0f; logit <= 20.0f; logit += 0.0078125f) {
      for (const float temperature : {0.6f, 1.0f, 2.5f}) {
        const double want = std::ldexp(std::exp((double{logit} - 20) / temperature), unit_bits);
        const auto got = static_cast<double>(Weight(logit, 20.0f, temperature, unit_bits));
        // x = −100 is rounded to f32 before its power is taken.
        ASSERT_NEAR(got, want, want * 4e-6 + 1) << logit << " at " << temperature;
      }
      const uint64_t weight = Weight(logit, 20.0f, 1.0f, unit_bits);
      ASSERT_GE(weight, last) << logit;
      last = weight;
    }
    EXPECT_EQ(Weight(-3e38f, 3e38f, 1e-30f, unit_bits), 0u);
  }
  EXPECT_EQ(WantedWeight(1e-30f, 1000), 1u);
  EXPECT_EQ(WantedWeight(0.5f, 1000), 500u);
  EXPECT_EQ(WantedWeight(0.5f, 999), 500u);
  EXPECT_EQ(DrawnWeight((uint64_t{1} << 53) - 1, 1000), 999u);
  EXPECT_EQ(DrawnWeight(0, 1000), 0u);
}

// The token by the definition: all candidates in order, cut, then by id.
int32_t TokenByDefinition(const std::vector<float>& logits, const SampleRow& how, const std::vector<int32_t>& seen,
                          const Rules& rules) {
  const Sampling& s = how.sampling;
  const auto vocab = static_cast<int64_t>(logits.size());
  std::vector<float> changed = logits;
  for (const int32_t id : std::set<int32_t>(seen.begin(), seen.end())) {
    float& logit = changed[static_cast<size_t>(id)];
    logit = Penalized(logit, s.repetition_penalty);
  }
  std::set<int64_t> out;
  for (const auto& [id, delta] : rules.changes) {
    changed[static_cast<size_t>(id)] += delta;
    if (std::isinf(delta)) out.insert(id);
  }
  const std::vector<int32_t>& allowed = rules.allowed.empty() ? rules.vocabulary : rules.allowed;
  std::vector<int64_t> order;
  for (int64_t id = 0; id < vocab; ++id) {
    const bool in = allowed.empty() || std::ranges::find(allowed, id) != allowed.end();
    if (in && !out.contains(id)) order.push_back(id);
  }
  if (order.empty()) return kNoneAllowed;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return changed[a] > changed[b]; });
  if (s.temperature == 0) return static_cast<int32_t>(order[0]);
  const float largest = changed[static_cast<size_t>(order[0])];
  const auto weight = [&](int64_t id) { return Weight(changed[id], largest, s.temperature, UnitBits(vocab)); };
  if (s.top_k > 0 && s.top_k < static_cast<int64_t>(order.size())) order.resize(static_cast<size_t>(s.top_k));
  uint64_t total = 0;
  for (const int64_t id : order) total += weight(id);
  if (s.top_p < 1) {
    const uint64_t wanted = WantedWeight(s.top_p, total);
    size_t kept = 0;
    for (total = 0; total < wanted; ++kept) total += weight(order[kept]);
    order.resize(kept);
  }
  std::erase_if(order, [&](int64_t id) { return weight(id) < LeastWeight(s.min_p, UnitBits(vocab)); });
  total = 0;
  for (const int64_t id : order) total += weight(id);
  std::sort(order.begin(), order.end());
  uint64_t left = DrawnWeight(Noise(s.seed, how.choice, how.position), total);
  size_t i = 0;
  for (; left >= weight(order[i]); ++i) left -= weight(order[i]);
  return static_cast<int32_t>(order[i]);
}

// Some of the ids, each with this probability in 16ths; one at least.
std::vector<int32_t> SomeIds(std::mt19937& random, int64_t vocab, unsigned sixteenths) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocab; ++id) {
    if (random() % 16 < sixteenths) ids.push_back(id);
  }
  if (ids.empty()) ids.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
  return ids;
}

Rules RandomRules(std::mt19937& random, int64_t vocab) {
  Rules rules;
  if (random() % 2 == 0) {
    for (const int32_t id : SomeIds(random, vocab, 3)) {
      const bool out = random() % 5 == 0;
      const float delta = out ? -std::numeric_limits<float>::infinity() : static_cast<float>(random() % 800) / 100 - 4;
      rules.changes.push_back({id, delta});
    }
  }
  if (random() % 2 == 0) rules.vocabulary = SomeIds(random, vocab, 15);
  if (random() % 3 == 0) rules.allowed = SomeIds(random, vocab, 4);
  return rules;
}

// Every device draws what the definition says, to the last token: small and large vocabularies, ties by the hundred,
// cuts that fall among equals, penalties.
TEST_F(SampleTest, DrawsWhatTheDefinitionSays) {
  std::mt19937 random(11);
  const auto among = [&](const auto& values) { return values[random() % std::size(values)]; };
  for (const int64_t vocab : {1, 31, 70, 1000, 5000}) {
    Sampler sampler(device(), vocab);
    for (int i = 0; i < 40; ++i) {
      std::vector<float> logits = RandomLogits(random, vocab, among(std::array{0.1f, 2.0f, 8.0f}));
      if (i % 3 == 0) {
        for (float& logit : logits) logit = std::round(logit);  // −0 among them
      }
      if (i % 7 == 0) std::fill(logits.begin(), logits.end(), -2.0f);
      const SampleRow how = {.sampling = {.temperature = among(std::array{0.0f, 0.3f, 0.7f, 1.0f, 1.8f}),
                                          .top_p = among(std::array{1.0f, 0.9f, 0.5f, 0.05f}),
                                          .top_k = among(std::array{0, 1, 3, 40, 900}),
                                          .repetition_penalty = among(std::array{1.0f, 1.3f, 0.5f}),
                                          .min_p = among(std::array{0.0f, 0.0f, 0.02f, 0.3f, 1.0f}),
                                          .seed = random()},
                             .position = random() % 100,
                             .choice = static_cast<uint32_t>(random() % 3)};
      std::vector<int32_t> seen;
      for (int n = 0; n < 20; ++n) seen.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
      const Rules rules = i % 2 == 0 ? Rules() : RandomRules(random, vocab);
      const auto token = sampler.Sample(logits, how.sampling, seen, how.choice, how.position, rules);
      ASSERT_TRUE(token.ok() || absl::IsNotFound(token.status())) << token.status();
      ASSERT_EQ(token.value_or(kNoneAllowed), TokenByDefinition(logits, how, seen, rules))
          << "vocabulary " << vocab << ", case " << i << ": temperature " << how.sampling.temperature << ", top_p "
          << how.sampling.top_p << ", top_k " << how.sampling.top_k << ", penalty " << how.sampling.repetition_penalty;
    }
  }
}

TEST_F(SampleTest, GreedyTakesTheLargestAndTheLowestIdAmongEquals) {
  Sampler sampler(device(), 4);
  const std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 0}, {}, 0, 0).value(), 1);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 1, .top_k = 1}, {}, 0, 0).value(), 1);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 1, .top_p = 1e-6f}, {}, 0, 0).value(), 1);
  EXPECT_THAT(sampler.Sample(logits, {.temperature = 1e-30f}, {}, 0, 0).value(), testing::AnyOf(1, 2));
}

TEST_F(SampleTest, RepetitionPenaltyDividesPositiveAndMultipliesNegativeOnce) {
  Sampler sampler(device(), 3);
  const Sampling greedy = {.temperature = 0, .repetition_penalty = 2};
  // 4 → 2 once: still above 1.5; penalized twice it would be 1.
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 1.5f, 0}, greedy, std::vector<int32_t>{0, 0}, 0, 0).value(), 0);
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 2.5f, 0}, greedy, std::vector<int32_t>{0}, 0, 0).value(), 1);
  // −1 → −2 falls below −1.5.
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1, -1.5f, -9}, greedy, std::vector<int32_t>{0}, 0, 0).value(), 1);
  // The marks of one call do not reach into the next.
  EXPECT_EQ(sampler.Sample(std::vector<float>{4, 2.5f, 0}, greedy, {}, 0, 0).value(), 0);
}

// Against softmax in float64, of the logits before anything is changed about them; padding is part of the sum and never
// told.
TEST_F(SampleTest, MeasuresLogSoftmaxOfWhatTheModelGave) {
  std::mt19937 random(31);
  for (const int64_t vocab : {1, 5, 33, 1000, 5000}) {
    Sampler sampler(device(), vocab);
    for (int i = 0; i < 12; ++i) {
      std::vector<float> logits = RandomLogits(random, vocab, i % 2 == 0 ? 3.0f : 20.0f);
      if (i % 3 == 0) {
        for (float& logit : logits) logit = std::round(logit);
      }
      Rules rules = RandomRules(random, vocab);
      rules.allowed = {};
      rules.alternatives = std::array{0, 1, 5, 20}[static_cast<size_t>(i % 4)];
      if (i % 5 == 4) rules.token = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)), rules.changes = {};
      const Sampling sampling = {.temperature = 0.8f, .repetition_penalty = i % 2 == 0 ? 1.3f : 1.0f, .seed = random()};
      const auto token = sampler.Sample(logits, sampling, SomeIds(random, vocab, 2), 0, 1, rules);
      if (absl::IsNotFound(token.status())) continue;
      ASSERT_TRUE(token.ok()) << token.status();
      if (rules.token >= 0) {
        ASSERT_EQ(*token, rules.token);
      }
      const float largest = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (const float logit : logits) sum += std::exp(double{logit} - largest);
      const auto want = [&](int64_t id) { return double{logits[static_cast<size_t>(id)]} - largest - std::log(sum); };
      EXPECT_NEAR(Logprob(sampler.measured.logit, sampler.measured, vocab), want(*token), 1e-6) << vocab;
      std::vector<int32_t> order = rules.vocabulary;
      if (order.empty()) {
        order.resize(static_cast<size_t>(vocab));
        std::iota(order.begin(), order.end(), 0);
      }
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
      for (int32_t n = 0; n < rules.alternatives; ++n) {
        const Alternative& told = sampler.alternatives[static_cast<size_t>(n)];
        if (n >= static_cast<int32_t>(order.size())) {
          EXPECT_EQ(told.id, -1);
          continue;
        }
        ASSERT_EQ(told.id, order[static_cast<size_t>(n)]) << "vocabulary " << vocab << ", alternative " << n;
        EXPECT_NEAR(Logprob(told.logit, sampler.measured, vocab), want(told.id), 1e-6);
      }
    }
  }
}

TEST_F(SampleTest, MinPKeepsWhatIsLikelyBesideTheLikeliest) {
  Sampler sampler(device(), 3);
  const float half = std::log(0.5f);
  // 1, 1/2, 1/4 of the likeliest.
  const std::vector<float> logits = {2 * half, 0, half};
  std::set<int32_t> drawn;
  for (uint64_t i = 0; i < 100; ++i) drawn.insert(sampler.Sample(logits, {.min_p = 0.4f, .seed = 3}, {}, 0, i).value());
  EXPECT_EQ(drawn, (std::set<int32_t>{1, 2}));
  drawn.clear();
  for (uint64_t i = 0; i < 100; ++i) drawn.insert(sampler.Sample(logits, {.min_p = 1.0f, .seed = 3}, {}, 0, i).value());
  EXPECT_EQ(drawn, (std::set<int32_t>{1}));
}

TEST_F(SampleTest, IdsThatAreOutAreNeverDrawn) {
  Sampler sampler(device(), 40);
  std::vector<float> logits(40, 0.0f);
  logits[35] = 50;
  const float out = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 0}, {}, 0, 0, {.changes = {{35, out}}}).value(), 0);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 0}, {}, 0, 0, {.vocabulary = {7, 9}}).value(), 7);
  EXPECT_EQ(sampler.Sample(logits, {.temperature = 1}, {}, 0, 0, {.allowed = {39}}).value(), 39);
  EXPECT_EQ(sampler.Sample(logits, {}, {}, 0, 0, {.changes = {{39, out}}, .allowed = {39}}).status().code(),
            absl::StatusCode::kNotFound);
  // The penalty comes before what is added: 50 / 100 + 1.
  logits[3] = 1.4f;
  const Sampling penalized = {.temperature = 0, .repetition_penalty = 100};
  EXPECT_EQ(sampler.Sample(logits, penalized, {35}, 0, 0, {.changes = {{35, 1.0f}}}).value(), 35);
  logits[3] = 1.6f;
  EXPECT_EQ(sampler.Sample(logits, penalized, {35}, 0, 0, {.changes = {{35, 1.0f}}}).value(), 3);
}

TEST_F(SampleTest, SameRequestSameAnswerWhateverWasSampledBetween) {
  std::mt19937 random(3);
  const std::vector<float> logits = RandomLogits(random, 1000, 3), other = RandomLogits(random, 1000, 3);
  Sampler alone(device(), 1000), busy(device(), 1000);
  for (int position = 0; position < 200; ++position) {
    const Sampling sampling = {.temperature = 0.9f, .top_p = 0.95f, .top_k = 50, .seed = 77};
    const int32_t token = alone.Sample(logits, sampling, {}, 2, position).value();
    ASSERT_TRUE(busy.Sample(other, {.temperature = 1.3f, .repetition_penalty = 1.5f, .seed = 5},
                            std::vector<int32_t>{1, 2, 3}, 0, position)
                    .ok());
    EXPECT_EQ(busy.Sample(logits, sampling, {}, 2, position).value(), token);
  }
}

TEST_F(SampleTest, RefusesParametersPastTheirLimits) {
  Sampler sampler(device(), 2);
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
                          {.min_p = -0.1f},
                          {.min_p = 1.1f},
                          {.min_p = nan},
                          {.temperature = inf}};
  for (const Sampling& sampling : bad) {
    EXPECT_EQ(sampler.Sample(logits, sampling, {}, 0, 0).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(sampler.Sample(logits, {.temperature = 100, .top_p = 1, .top_k = 1000}, {}, 0, 0).ok());
  for (const auto& spoil : std::vector<std::function<void(SampleArgs&)>>{
           [](SampleArgs& a) { a.logits.cols = 1, a.logits.dtype = DType::kBF16; },
           [](SampleArgs& a) { a.rows.size = 2; },
           [](SampleArgs& a) {
             a.seen = {{}, 1};
           },
           [](SampleArgs& a) {
             a.allowed = {{}, 1};
           },
           [](SampleArgs& a) { a.measured = {}; }, [](SampleArgs& a) { a.alternatives.size = 1; },
           [](SampleArgs& a) { a.changes.data = {}; }, [](SampleArgs& a) { a.tokens = {}; },
           [](SampleArgs& a) { a.scratch.bytes -= 1; }}) {
    SampleArgs args = sampler.Args();
    ASSERT_TRUE(Sample(device(), args).ok());
    spoil(args);
    EXPECT_EQ(Sample(device(), args).code(), absl::StatusCode::kInvalidArgument);
  }
}

// Each row has its own parameters, its own seen ids (in the second word of its bits) and its own noise.
TEST_F(SampleTest, RowsOfOneCallAreSampledEachForItself) {
  const int64_t vocab = 70, rows = 3;
  Storage logits(device(), DType::kF32, rows, vocab, 5);
  std::vector<SampleRow> how(rows);
  std::vector<uint32_t> seen(static_cast<size_t>(rows * SeenWords(vocab)), 0);
  std::vector<int32_t> want;
  Sampler alone(device(), vocab);
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> row = Random(vocab);
    row[60] = 9.0f;
    row[61] = 5.0f;
    how[static_cast<size_t>(r)] = {
        .sampling = {.temperature = r == 2 ? 1.0f : 0.0f, .repetition_penalty = 3, .seed = 9},
        .position = static_cast<uint64_t>(r),
        .choice = 1,
        .seen = static_cast<int32_t>(r)};
    if (r == 1) seen[static_cast<size_t>(SeenWords(vocab)) + 1] = uint32_t{1} << (60 - 32);
    for (int64_t c = 0; c < vocab; ++c) logits.Set(r, c, row[static_cast<size_t>(c)]);
    const auto token =
        alone.Sample(row, how[static_cast<size_t>(r)].sampling,
                     r == 1 ? std::vector<int32_t>{60} : std::vector<int32_t>{}, 1, static_cast<uint64_t>(r));
    ASSERT_TRUE(token.ok()) << token.status();
    want.push_back(*token);
  }
  EXPECT_EQ(want[0], 60);
  EXPECT_EQ(want[1], 61);
  DeviceBuffer row_buffer(device(), static_cast<int64_t>(how.size() * sizeof(SampleRow))),
      seen_buffer(device(), static_cast<int64_t>(seen.size() * sizeof(uint32_t))),
      token_buffer(device(), rows * static_cast<int64_t>(sizeof(int32_t))),
      scratch(device(), SampleScratchBytes(vocab));
  row_buffer.Upload(how.data());
  seen_buffer.Upload(seen.data());
  ASSERT_TRUE(Sample(device(), {.logits = logits.view(),
                                .rows = {row_buffer.data(), rows},
                                .seen = {seen_buffer.data(), rows * SeenWords(vocab)},
                                .tokens = {token_buffer.data(), rows},
                                .scratch = scratch.span()})
                  .ok());
  std::vector<int32_t> got(rows);
  token_buffer.Download(got.data());
  EXPECT_EQ(got, want);
}

TEST_F(SampleTest, BrokenLogitsAreAnErrorNotAToken) {
  Sampler sampler(device(), 3);
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
}  // namespace headroom::runtime
