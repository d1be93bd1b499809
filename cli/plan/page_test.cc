#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "cli/plan/markup.h"
#include "cli/plan/outputs.h"
#include "cli/plan/testing.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;

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

TEST(Markup, EscapedKeepsUtf8AndReplacesTheRest) {
  EXPECT_EQ(Escaped("Grüße 1,024² · 图 🙂"), "Grüße 1,024² · 图 🙂");
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(Escaped(std::string("\0", 1)), replaced);
  EXPECT_EQ(Escaped("\xC0\xAF"), replaced + replaced);                 // overlong
  EXPECT_EQ(Escaped("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(Escaped("\xEF\xBF\xBF"), replaced);                        // U+FFFF
  EXPECT_EQ(Escaped("\xE2\x82"), replaced);                            // cut short
  EXPECT_EQ(Escaped("\x7F"), replaced);
}

TEST(Markup, ElementsEscapeTheirAttributes) {
  EXPECT_EQ(Element("a", {{"b", "1 < \"2\""}, {"none", ""}, {"x", 1.0}}), "<a b=\"1 &lt; &quot;2&quot;\" x=\"1.00\"/>");
  EXPECT_EQ(Element("p", {}, Escaped("a & b")), "<p>a &amp; b</p>");
}

TEST(PlanPage, TablesHaveEverySegmentAndTheirSum) {
  const std::string page = PlanPage(SampleFigure());
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
  Bar bar = {.group = "a<b>&\"c'", .title = "</text><script>alert(1)</script>", .device_bytes = kGiB};
  bar.headline = "\x01\xff & more";
  bar.segments = {{"<svg onload=\"x\">", "kv_pool\" onload=\"x", kGiB / 2, "1 < 2 && \"q\""}};
  bar.note = "]]> <!-- ";
  const Figure figure = {.title = "<title>", .subtitle = "&amp;", .bars = {bar}, .footnotes = {"<"}};
  for (const std::string& drawn : {PlanPage(figure), PlanPicture(figure)}) {
    const std::vector<XmlElement> elements = Elements(drawn);
    ExpectSelfContained(drawn);
    EXPECT_THAT(drawn, HasSubstr("&lt;/text&gt;&lt;script&gt;"));
    EXPECT_THAT(drawn, HasSubstr("&amp;amp;"));
    EXPECT_THAT(drawn, HasSubstr("\xEF\xBF\xBD\xEF\xBF\xBD &amp; more"));
    for (const XmlElement& element : elements) EXPECT_EQ(element.attributes.count("onload"), 0U);
  }
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
    Figure figure = {.title = words(), .subtitle = words(), .footnotes = {words(), words()}};
    for (int i = below(7); i > 0; --i) {
      Bar bar = {.group = below(2) == 0 ? "same" : words(),
                 .title = words(),
                 .headline = words(),
                 .tone = static_cast<Tone>(below(3)),
                 .device_bytes = bytes(),
                 .note = words()};
      for (int j = below(9); j > 0; --j) bar.segments.push_back({words(), words(), bytes(), words()});
      figure.bars.push_back(bar);
    }
    for (const std::string& drawn : {PlanPage(figure), PlanPicture(figure)}) {
      std::vector<XmlElement> elements;
      ASSERT_EQ(XmlReader(drawn).Read(&elements), "");
    }
  }
}

}  // namespace
}  // namespace headroom::cli
