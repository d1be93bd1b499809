#include "llm-worker/sample_reader.h"

#include "common/check.h"

namespace headroom::llm_worker {

SampleReader::SampleReader(std::span<const RowSample> samples, const StepTokens& tokens, int64_t vocab_size)
    : samples_(samples), tokens_(tokens), vocab_size_(vocab_size) {
  HEADROOM_CHECK(tokens.tokens.size() == samples.size()) << tokens.tokens.size() << " of " << samples.size();
}

Sampled SampleReader::Next() {
  const size_t at = next_++;
  HEADROOM_CHECK(at < samples_.size()) << at << " of " << samples_.size() << " samples";
  Sampled sampled{.token = tokens_.tokens[at]};
  const int32_t alternatives = samples_[at].how.alternatives;
  if (alternatives < 0 || sampled.token < 0) return sampled;
  const runtime::LogitMeasure& measure = tokens_.measured[at];
  const auto logprob = [&](float logit) { return static_cast<float>(runtime::Logprob(logit, measure, vocab_size_)); };
  sampled.logprobs = std::make_unique<EventLogprobs>();
  sampled.logprobs->of_token = logprob(measure.logit);
  sampled.logprobs->top.reserve(static_cast<size_t>(alternatives));
  const auto likeliest =
      std::span(tokens_.alternatives).subspan(at * runtime::kAlternativesMax, static_cast<size_t>(alternatives));
  for (const runtime::Alternative& other : likeliest) {
    if (other.id >= 0) sampled.logprobs->top.push_back({.token = other.id, .logprob = logprob(other.logit)});
  }
  return sampled;
}

}  // namespace headroom::llm_worker
