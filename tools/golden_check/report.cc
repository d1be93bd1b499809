#include "tools/golden_check/report.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace headroom::tools {
namespace {

std::string Pad(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text + "  ";
}

size_t NumberWidth(DType compute) { return compute == DType::kF32 ? 10 : 16; }

std::string Equal(const std::optional<bool>& equal) { return !equal.has_value() ? "-" : *equal ? "equal" : "DIFFER"; }

std::string Number(const std::optional<Measured>& measured, DType compute) {
  if (!measured.has_value()) return "-";
  char text[64];
  if (compute == DType::kF32) {
    std::snprintf(text, sizeof text, "%.1e%s", measured->error, measured->ok() ? "" : " !");
  } else {
    std::snprintf(text, sizeof text, "%.4f/%.4f%s", measured->error, measured->limit, measured->ok() ? "" : " !");
  }
  return text;
}

std::string Ids(const CaseResult& result) {
  if (result.ids_total == 0) return "-";
  const bool equal = result.ids_agree >= result.ids_judged;
  std::string text = absl::StrCat(equal              ? "equal"
                                  : result.judge_ids ? "DIFFER"
                                                     : "differ",
                                  ", ", result.ids_agree, " of ", result.ids_total);
  if (result.ids_judged < result.ids_total) absl::StrAppend(&text, " (", result.ids_judged, " judged)");
  return text;
}

}  // namespace

std::string ReportHeader(DType compute, size_t name_width) {
  const size_t width = NumberWidth(compute);
  std::string line = Pad("case", name_width) + Pad("pixels", 6) + Pad("prompt", 6);
  for (const char* head : {"vision", "embeddings", "prompt logits", "step logits", "logprobs"}) {
    line += Pad(head, std::max<size_t>(width, 13));
  }
  return line + "own greedy ids\n";
}

std::string ReportLine(const CaseResult& result, DType compute, size_t name_width) {
  const size_t width = std::max<size_t>(NumberWidth(compute), 13);
  std::string text =
      Pad(result.name, name_width) + Pad(Equal(result.pixels_equal), 6) + Pad(Equal(result.prompt_equal), 6);
  for (const auto* measured :
       {&result.vision, &result.resampler, &result.logits_prompt, &result.logits_steps, &result.prompt_logprobs}) {
    text += Pad(Number(*measured, compute), width);
  }
  text += Ids(result) + "\n";
  for (const std::string& complaint : result.complaints) absl::StrAppend(&text, "    ", complaint, "\n");
  if (!result.judge_ids && result.ids_agree < result.ids_total) {
    text += "    own ids:";
    for (const int32_t id : result.own_ids) absl::StrAppend(&text, " ", id);
    text += "\n";
  }
  return text;
}

}  // namespace headroom::tools
