// Shared by the tests of the picture and the page.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/plan/figure.h"
#include "cli/plan/testing/xml_reader.h"
#include "common/units.h"

namespace headroom::cli {

// Two devices; on the second, one bar goes beyond its end.
inline Figure SampleFigure() {
  Bar planned = {.group = "24 GB", .title = "Headroom", .headline = "all 32 sequences", .device_bytes = 24 * kGiB};
  planned.segments = {{"llm weights", "llm_weights", 13 * kGiB, "13 · 2^30"},
                      {"workspace", "llm_workspace", kGiB / 2, "a step"},
                      {"nothing", "libraries", 0, ""},
                      {"KV pool", "kv_pool", 8 * kGiB, ""},
                      {"headroom", "headroom", 5 * kGiB / 2, ""}};
  Bar other = {.group = "48 GB",
               .title = "vLLM",
               .headline = "out of memory at start",
               .tone = Tone::kBad,
               .device_bytes = 48 * kGiB,
               .note = "An estimate."};
  other.segments = {{"llm weights", "llm_weights", 20 * kGiB, ""},
                    {"scores", "scores", 52 * kGiB, "256 · 16 · 1,024²"}};
  Bar beside = planned;
  beside.group = "48 GB";
  beside.device_bytes = 48 * kGiB;
  return {.title = "A title", .subtitle = "And below", .bars = {planned, beside, other}, .footnotes = {"One.", "Two."}};
}

inline std::vector<XmlElement> Elements(const std::string& text) {
  std::vector<XmlElement> elements;
  EXPECT_EQ(XmlReader(text).Read(&elements), "");
  return elements;
}

inline void ExpectSelfContained(const std::string& text) {
  using ::testing::HasSubstr;
  using ::testing::Not;
  std::string rest = text;
  const std::string name_space = "xmlns=\"http://www.w3.org/2000/svg\"";
  if (const size_t at = rest.find(name_space); at != std::string::npos) rest.erase(at, name_space.size());
  for (const char* reference :
       {"http:", "https:", "<script", "<link", "<img", "href=", "src=", "@import", "@font-face"})
    EXPECT_THAT(rest, Not(HasSubstr(reference)));
  for (size_t at = rest.find("url("); at != std::string::npos; at = rest.find("url(", at + 1))
    EXPECT_EQ(rest.compare(at, 12, "url(#beyond)"), 0);
}

}  // namespace headroom::cli
