// What a picture of plans shows: bars of segments, each bar measured against the memory of its device. Data only; the
// picture and the page (cli/plan/outputs.h) draw it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/plan/plans.h"

namespace headroom::cli {

struct Segment {
  std::string label = {};
  // Chooses the colour (cli/plan/picture.css): a ComponentLabel such as "kv_pool", or what VllmKey gives. Others are
  // grey.
  std::string key = {};
  int64_t bytes = 0;         // < 1 is not drawn
  std::string formula = {};  // how the bytes come about

  // Promised to nobody: drawn as an outline, and not part of what a bar asks for.
  bool unused() const { return key == "headroom" || key == "unused"; }
};

enum class Tone { kGood, kPoor, kBad };

struct Bar {
  std::string group = {};     // the device; neighbours of one group stand on one scale
  std::string title = {};     // whose bar it is: "Headroom"
  std::string headline = {};  // what comes of it: "all 32 sequences of 4,096 tokens"
  Tone tone = Tone::kGood;    // of the headline
  int64_t device_bytes = 0;
  std::vector<Segment> segments = {};
  std::string note = {};  // a sentence or a few

  // Sum of what is drawn; `with_unused` adds what is promised to nobody. Saturates.
  int64_t Bytes(bool with_unused) const;
  // What Bytes(with_unused) is above the device; 0 when it fits. A device of less than nothing counts as nothing.
  int64_t BytesBeyond(bool with_unused) const;
};

struct Figure {
  std::string title = {};
  std::string subtitle = {};
  std::vector<Bar> bars = {};
  std::vector<std::string> footnotes = {};
};

Bar PlanBar(const memory::Plan& plan);
Bar VllmBar(const VllmEstimate& estimate);

// Every device's plan (equal ranks once), beside it on CUDA cards what vLLM of 2024 would have asked for with the same
// knobs, where it knew the model. A device on which the plan does not fit has an empty bar with the reason as its note.
Figure PlanFigure(const Plans& plans);

}  // namespace headroom::cli
