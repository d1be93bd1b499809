// A picture of plans: every device a stacked bar, measured against the line where its memory ends. Data in, text out:
// it knows neither plans nor models (cli/plan/figure.h makes columns of those).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace headroom::cli {

// One segment of a bar, from the bottom up.
struct PagePart {
  std::string label = {};  // short: stands inside the bar
  // Chooses the colour: a ComponentLabel ("kv_pool"), or one of vision_inputs, vision_activations, scores,
  // scores_scaled, scores_fp32, softmax_fp32, resampler_activations, llm_activations, logits, unused. Others are grey.
  std::string key = {};
  int64_t bytes = 0;         // < 1 is not drawn
  std::string formula = {};  // for the table and the tooltip
};

enum class PageVerdict { kGood, kPoor, kBad };

// One bar.
struct PageColumn {
  // Device and knobs: "24 GB, 32 sequences of 4,096 tokens". Neighbours of equal group stand together.
  std::string group = {};
  std::string title = {};                    // whose bar it is: "Headroom"
  std::string headline = {};                 // what comes of it, below the bar: "all 32 sequences of 4,096 tokens"
  PageVerdict verdict = PageVerdict::kGood;  // colour of the headline
  int64_t device_bytes = 0;
  std::vector<PagePart> parts = {};
  std::string note = {};  // one sentence or a few, below the column's table
};

struct PageText {
  std::string title = {};
  std::string subtitle = {};
  std::vector<std::string> footnotes = {};
};

// Heights are shares of the device: the end of memory is one line across all bars, what a bar asks beyond it is marked.
// Both are well-formed XML without scripts or outside references, carry a light and a dark scheme, and escape all text.
// A bar of more than three devices is drawn with a break.
std::string PlanSvg(std::span<const PageColumn> columns, const PageText& text);
// The picture as an element of a page that carries its style.
std::string PlanSvgInline(std::span<const PageColumn> columns, const PageText& text);
// The picture and, below it, each column's bytes as a table.
std::string PlanPage(std::span<const PageColumn> columns, const PageText& text);

}  // namespace headroom::cli
