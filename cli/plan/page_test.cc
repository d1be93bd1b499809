#include "cli/plan/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "cli/plan/style.h"
#include "cli/plan/xml_reader.h"
#include "common/units.h"
#include "memory/component.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

// Two devices; on the second, one bar goes beyond its end.
std::vector<PageColumn> Sample() {
  PageColumn planned = {
      .group = "24 GB", .title = "Headroom", .headline = "all 32 sequences", .device_bytes = 24 * kGiB};
  planned.parts = {{"llm weights", "llm_weights", 13 * kGiB, "13 · 2^30"},
                   {"workspace", "llm_workspace", kGiB / 2, "a step"},
                   {"nothing", "libraries", 0, ""},
                   {"KV pool", "kv_pool", 8 * kGiB, ""},
                   {"headroom", "headroom", 5 * kGiB / 2, ""}};
  PageColumn other = {.group = "48 GB",
                      .title = "vLLM",
                      .headline = "out of memory at start",
                      .verdict = PageVerdict::kBad,
                      .device_bytes = 48 * kGiB,
                      .note = "An estimate."};
  other.parts = {{"llm weights", "llm_weights", 20 * kGiB, ""}, {"scores", "scores", 52 * kGiB, "256 · 16 · 1,024²"}};
  PageColumn beside = planned;
  beside.group = "48 GB";
  beside.device_bytes = 48 * kGiB;
  return {planned, beside, other};
}

PageText SampleText() { return {.title = "A title", .subtitle = "And below", .footnotes = {"One.", "Two."}}; }

std::vector<XmlElement> Elements(const std::string& text) {
  std::vector<XmlElement> elements;
  EXPECT_EQ(XmlReader(text).Read(&elements), "");
  return elements;
}

double Value(const XmlElement& element, const std::string& name) {
  const auto found = element.attributes.find(name);
  EXPECT_NE(found, element.attributes.end()) << element.name << " has no " << name;
  return found == element.attributes.end() ? -1 : std::stod(found->second);
}

bool HasClass(const XmlElement& element, const std::string& name) {
  const auto found = element.attributes.find("class");
  return found != element.attributes.end() && (" " + found->second + " ").find(" " + name + " ") != std::string::npos;
}

std::vector<XmlElement> WithClass(const std::vector<XmlElement>& elements, const std::string& name) {
  std::vector<XmlElement> found;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(found),
               [&](const XmlElement& element) { return HasClass(element, name); });
  return found;
}

std::vector<XmlElement> Segments(const std::vector<XmlElement>& elements) {
  std::vector<XmlElement> found;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(found),
               [](const XmlElement& element) { return element.attributes.count("data-bytes") > 0; });
  return found;
}

void ExpectSelfContained(const std::string& text) {
  std::string rest = text;
  const std::string name_space = "xmlns=\"http://www.w3.org/2000/svg\"";
  if (const size_t at = rest.find(name_space); at != std::string::npos) rest.erase(at, name_space.size());
  for (const char* reference :
       {"http:", "https:", "<script", "<link", "<img", "href=", "src=", "@import", "@font-face"})
    EXPECT_THAT(rest, Not(HasSubstr(reference)));
  for (size_t at = rest.find("url("); at != std::string::npos; at = rest.find("url(", at + 1))
    EXPECT_EQ(rest.compare(at, 12, "url(#beyond)"), 0);
}

TEST(XmlReader, FindsWhatIsWrong) {
  for (const char* bad : {"", "<a>", "<a></b>", "<a/><b/>", "x<a/>", "<a b=c/>", "<a b=\"1\" b=\"2\"/>", "<a>&</a>",
                          "<a>\x01</a>", "<a b=\"<\"/>", "</a>", "<a", "<a><b></a></b>"}) {
    std::vector<XmlElement> elements;
    EXPECT_NE(XmlReader(bad).Read(&elements), "") << bad;
  }
  const std::vector<XmlElement> elements = Elements("<!DOCTYPE html>\n<a b=\"&lt;\">x<c/>y</a>\n");
  ASSERT_EQ(elements.size(), 2U);
  EXPECT_EQ(elements[0].text, "xy");
}

TEST(PlanSvg, HeightsAreProportionalAndStacked) {
  const std::vector<PageColumn> columns = Sample();
  const std::vector<XmlElement> segments = Segments(Elements(PlanSvg(columns, SampleText())));
  size_t next = 0;
  double device_height = 0;
  for (const PageColumn& column : columns) {
    double y = 0;
    bool first = true;
    for (const PagePart& part : column.parts) {
      if (part.bytes < 1) continue;
      ASSERT_LT(next, segments.size());
      const XmlElement& segment = segments[next++];
      EXPECT_EQ(segment.attributes.at("data-bytes"), std::to_string(part.bytes));
      EXPECT_TRUE(HasClass(segment, PartClass(part.key)));
      const double height = Value(segment, "height");
      const double devices = static_cast<double>(part.bytes) / static_cast<double>(column.device_bytes);
      if (device_height == 0) device_height = height / devices;
      EXPECT_NEAR(height, devices * device_height, 0.05);
      if (!first) {
        EXPECT_NEAR(Value(segment, "y") + height, y, 0.02);
      }
      y = Value(segment, "y");
      first = false;
    }
  }
  EXPECT_EQ(next, segments.size());
  EXPECT_GE(device_height, 150);
}

TEST(PlanSvg, ShowsWhatGoesBeyondTheDevice) {
  const std::vector<XmlElement> elements = Elements(PlanSvg(Sample(), SampleText()));
  const std::vector<XmlElement> over = WithClass(elements, "over");
  ASSERT_EQ(over.size(), 1U);
  const XmlElement scores = Segments(elements).back();
  EXPECT_EQ(Value(over[0], "y"), Value(scores, "y"));
  // It ends at the line: each group draws its axis below and the limit above it.
  std::vector<double> lines;
  for (const XmlElement& line : WithClass(elements, "limit")) lines.push_back(Value(line, "y1"));
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_NEAR(Value(over[0], "y") + Value(over[0], "height"), *std::min_element(lines.begin(), lines.end()), 0.02);
  const auto said = [&](const std::string& text) {
    return std::any_of(elements.begin(), elements.end(),
                       [&](const XmlElement& element) { return element.text == text; });
  };
  EXPECT_TRUE(said("24.00 GiB over"));
  EXPECT_TRUE(said("72.00 GiB"));
  EXPECT_TRUE(said("21.50 GiB")) << "what is promised to nobody is not asked for";
  EXPECT_TRUE(said("24 GiB"));
  EXPECT_TRUE(said("48 GiB"));
  EXPECT_TRUE(WithClass(elements, "tear").empty());

  std::vector<PageColumn> inside = Sample();
  inside.pop_back();
  EXPECT_TRUE(WithClass(Elements(PlanSvg(inside, SampleText())), "over").empty());
}

TEST(PlanSvg, BreaksABarOfManyDevices) {
  std::vector<PageColumn> columns = Sample();
  columns[2].device_bytes = 8 * kGiB;
  const std::vector<XmlElement> elements = Elements(PlanSvg(columns, SampleText()));
  EXPECT_EQ(WithClass(elements, "tear").size(), 1U);
  for (const XmlElement& segment : Segments(elements)) EXPECT_GT(Value(segment, "y"), 0);
}

TEST(PlanSvg, EveryColourIsInBothSchemes) {
  const std::string style = PictureStyle();
  const size_t dark = style.find("@media (prefers-color-scheme:dark)");
  ASSERT_NE(dark, std::string::npos);
  std::vector<std::string> keys = {
      "vision_inputs", "vision_activations",    "scores",          "scores_scaled", "scores_fp32",
      "softmax_fp32",  "resampler_activations", "llm_activations", "logits",        "unused"};
  for (const memory::Component component : memory::AllComponents()) keys.push_back(memory::ComponentLabel(component));
  for (const std::string& key : keys) {
    const std::string rule = "." + PartClass(key) + "{";
    EXPECT_NE(PartClass(key), "s-other") << key;
    EXPECT_LT(style.find(rule), dark) << key;
    EXPECT_NE(style.find(rule, dark), std::string::npos) << key;
  }
  EXPECT_EQ(PartClass("\"><script>"), "s-other");
}

TEST(PlanPage, TablesHaveEveryPartAndTheirSum) {
  const std::vector<PageColumn> columns = Sample();
  const std::string page = PlanPage(columns, SampleText());
  const std::vector<XmlElement> elements = Elements(page);
  ExpectSelfContained(page);
  const auto cell = [&](const std::string& text) {
    return std::count_if(elements.begin(), elements.end(),
                         [&](const XmlElement& element) { return element.name == "td" && element.text == text; });
  };
  EXPECT_EQ(cell(GroupedDigits(13 * kGiB)), 2);
  EXPECT_EQ(cell(GroupedDigits(52 * kGiB)), 1);
  EXPECT_EQ(cell("256 · 16 · 1,024²"), 1);
  EXPECT_EQ(cell("nothing"), 0);
  EXPECT_EQ(cell("sum"), 3);
  EXPECT_EQ(cell(GroupedDigits(24 * kGiB)), 4) << "two sums, the device once, and what goes beyond";
  EXPECT_EQ(cell(GroupedDigits(72 * kGiB)), 1);
  EXPECT_EQ(cell("beyond the device"), 1);
  EXPECT_THAT(page, HasSubstr("An estimate."));
  EXPECT_EQ(std::count_if(elements.begin(), elements.end(), [](const auto& element) { return element.name == "h2"; }),
            2);
}

TEST(PlanPage, EscapesText) {
  PageColumn column = {.group = "a<b>&\"c'", .title = "</text><script>alert(1)</script>", .device_bytes = kGiB};
  column.headline = "\x01\xff & more";
  column.parts = {{"<svg onload=\"x\">", "kv_pool\" onload=\"x", kGiB / 2, "1 < 2 && \"q\""}};
  column.note = "]]> <!-- ";
  const PageText text = {.title = "<title>", .subtitle = "&amp;", .footnotes = {"<"}};
  const std::string page = PlanPage(std::span(&column, 1), text), svg = PlanSvg(std::span(&column, 1), text);
  for (const std::string& drawn : {page, svg}) {
    const std::vector<XmlElement> elements = Elements(drawn);
    ExpectSelfContained(drawn);
    EXPECT_THAT(drawn, HasSubstr("&lt;/text&gt;&lt;script&gt;"));
    EXPECT_THAT(drawn, HasSubstr("&amp;amp;"));
    EXPECT_THAT(drawn, HasSubstr("\xEF\xBF\xBD\xEF\xBF\xBD &amp; more"));
    for (const XmlElement& element : elements) EXPECT_EQ(element.attributes.count("onload"), 0U);
  }
}

TEST(PlanPage, EscapedKeepsUtf8AndReplacesTheRest) {
  EXPECT_EQ(Escaped("Grüße 1,024² · 图 🙂"), "Grüße 1,024² · 图 🙂");
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(Escaped(std::string("\0", 1)), replaced);
  EXPECT_EQ(Escaped("\xC0\xAF"), replaced + replaced);                 // overlong
  EXPECT_EQ(Escaped("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(Escaped("\xEF\xBF\xBF"), replaced + replaced + replaced);  // U+FFFF
  EXPECT_EQ(Escaped("\xE2\x82"), replaced + replaced);                 // cut short
  EXPECT_EQ(Escaped("\x7F"), replaced);
}

TEST(PlanPage, AbsurdNumbersAreDrawnWithoutHarm) {
  std::vector<PageColumn> columns = Sample();
  columns[0].device_bytes = 0;
  columns[1].parts[0].bytes = -5;
  columns[2].parts[0].bytes = columns[2].parts[1].bytes = kHuge;
  EXPECT_EQ(BytesOf(columns[2], true), kHuge);
  Elements(PlanPage(columns, SampleText()));
  columns[2].device_bytes = kHuge;
  Elements(PlanPage(columns, SampleText()));
  columns[2].device_bytes = -1;
  Elements(PlanPage(columns, SampleText()));
  Elements(PlanPage({}, {}));
  Elements(PlanSvg({}, {}));
  const std::vector<PageColumn> many(60, columns[1]);
  Elements(PlanPage(many, SampleText()));
}

TEST(PlanPage, WellFormedForRandomInput) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto below = [&](int end) { return static_cast<int>(random() % static_cast<uint32_t>(end)); };
  const auto bytes = [&] { return static_cast<int64_t>(random()) << below(32); };
  const auto words = [&] {
    std::string text;
    for (int i = below(40); i > 0; --i) text.push_back(static_cast<char>(below(8) == 0 ? below(256) : 32 + below(95)));
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<PageColumn> columns(static_cast<size_t>(below(7)));
    for (PageColumn& column : columns) {
      column = {.group = below(2) == 0 ? "same" : words(),
                .title = words(),
                .headline = words(),
                .verdict = static_cast<PageVerdict>(below(3)),
                .device_bytes = bytes(),
                .note = words()};
      for (int i = below(9); i > 0; --i) column.parts.push_back({words(), words(), bytes(), words()});
    }
    const PageText text = {.title = words(), .subtitle = words(), .footnotes = {words(), words()}};
    for (const std::string& drawn : {PlanPage(columns, text), PlanSvg(columns, text)}) {
      std::vector<XmlElement> elements;
      ASSERT_EQ(XmlReader(drawn).Read(&elements), "");
    }
  }
}

}  // namespace
}  // namespace headroom::cli
