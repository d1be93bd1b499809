#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "cli/plan/outputs.h"
#include "cli/plan/style.h"
#include "cli/plan/testing.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

double Value(const XmlElement& element, const std::string& name) {
  const auto found = element.attributes.find(name);
  EXPECT_NE(found, element.attributes.end()) << element.name << " has no " << name;
  return found == element.attributes.end() ? -1 : std::stod(found->second);
}

std::vector<XmlElement> WithClass(const std::vector<XmlElement>& elements, const std::string& name) {
  std::vector<XmlElement> found;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(found), [&](const XmlElement& element) {
    const auto style = element.attributes.find("class");
    return style != element.attributes.end() && (" " + style->second + " ").find(" " + name + " ") != std::string::npos;
  });
  return found;
}

std::vector<XmlElement> Drawn(const std::vector<XmlElement>& elements) {
  std::vector<XmlElement> found;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(found),
               [](const XmlElement& element) { return element.attributes.count("data-bytes") > 0; });
  return found;
}

TEST(PlanPicture, WidthsAreProportionalAndJoined) {
  const Figure figure = SampleFigure();
  const std::vector<XmlElement> drawn = Drawn(Elements(PlanPicture(figure)));
  size_t next = 0;
  double device_width = 0;
  for (const Bar& bar : figure.bars) {
    double end = 0;
    bool first = true;
    for (const Segment& segment : bar.segments) {
      if (segment.bytes < 1) continue;
      ASSERT_LT(next, drawn.size());
      const XmlElement& rectangle = drawn[next++];
      EXPECT_EQ(rectangle.attributes.at("data-bytes"), std::to_string(segment.bytes));
      EXPECT_EQ(rectangle.attributes.at("class"), SegmentClass(segment.key));
      const double width = Value(rectangle, "width");
      const double devices = static_cast<double>(segment.bytes) / static_cast<double>(bar.device_bytes);
      if (device_width == 0) device_width = width / devices;
      EXPECT_NEAR(width, devices * device_width, 0.05);
      if (!first) {
        EXPECT_NEAR(Value(rectangle, "x"), end, 0.02);
      }
      end = Value(rectangle, "x") + width;
      first = false;
    }
  }
  EXPECT_EQ(next, drawn.size());
  EXPECT_GE(device_width, 300);
}

TEST(PlanPicture, ShowsWhatGoesBeyondTheDevice) {
  const Figure figure = SampleFigure();
  const std::vector<XmlElement> elements = Elements(PlanPicture(figure));
  const std::vector<XmlElement> over = WithClass(elements, "over");
  ASSERT_EQ(over.size(), 1U);
  const XmlElement scores = Drawn(elements).back();
  const auto end = [](const XmlElement& rectangle) { return Value(rectangle, "x") + Value(rectangle, "width"); };
  EXPECT_NEAR(end(over[0]), end(scores), 0.02);
  EXPECT_EQ(Value(over[0], "y"), Value(scores, "y"));
  // It begins at the line, which is the same in both groups and passes through all of their bars.
  const std::vector<XmlElement> lines = WithClass(elements, "limit");
  ASSERT_EQ(lines.size(), 2U);
  for (const XmlElement& line : lines) {
    EXPECT_EQ(Value(line, "x1"), Value(over[0], "x"));
    EXPECT_EQ(Value(line, "x2"), Value(over[0], "x"));
  }
  EXPECT_LT(Value(lines[1], "y1"), Value(Drawn(elements)[4], "y"));
  EXPECT_GT(Value(lines[1], "y2"), Value(scores, "y") + Value(scores, "height"));
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

  Figure inside = figure;
  inside.bars.pop_back();
  EXPECT_TRUE(WithClass(Elements(PlanPicture(inside)), "over").empty());
}

TEST(PlanPicture, CutsABarOfManyDevices) {
  Figure figure = SampleFigure();
  figure.bars[2].device_bytes = 8 * kGiB;
  const std::vector<XmlElement> elements = Elements(PlanPicture(figure));
  EXPECT_EQ(WithClass(elements, "tear").size(), 1U);
  const double width = Value(elements[0], "width");
  for (const XmlElement& rectangle : Drawn(elements)) {
    EXPECT_LT(Value(rectangle, "x") + Value(rectangle, "width"), width);
  }
}

TEST(PlanPicture, EveryColourIsInBothSchemes) {
  const std::string style = kPictureCss;
  const size_t dark = style.find("@media (prefers-color-scheme: dark)");
  ASSERT_NE(dark, std::string::npos);
  std::vector<std::string> keys = {"unused"};
  for (int item = 0; item <= static_cast<int>(VllmItem::kLogits); ++item) {
    keys.emplace_back(VllmKey(static_cast<VllmItem>(item)));
  }
  for (const memory::Component component : memory::AllComponents()) keys.push_back(memory::ComponentLabel(component));
  const auto rule = [&](const std::string& key, size_t from) {
    return std::min(style.find(".s-" + key + " {", from), style.find(".s-" + key + ",", from));
  };
  for (const std::string& key : keys) {
    EXPECT_LT(rule(key, 0), dark) << key;
    EXPECT_NE(rule(key, dark), std::string::npos) << key;
  }
  EXPECT_LT(style.find(".segment {"), style.find(".s-llm_weights")) << "grey, where no rule follows";
}

TEST(PlanPicture, AbsurdNumbersAreDrawnWithoutHarm) {
  Figure figure = SampleFigure();
  figure.bars[0].device_bytes = 0;
  figure.bars[1].segments[0].bytes = -5;
  figure.bars[2].segments[0].bytes = figure.bars[2].segments[1].bytes = kHuge;
  EXPECT_EQ(figure.bars[2].Bytes(true), kHuge);
  for (const int64_t device_bytes : {48 * kGiB, kHuge, int64_t{-1}}) {
    figure.bars[2].device_bytes = device_bytes;
    Elements(PlanPage(figure));
  }
  Elements(PlanPage({}));
  Elements(PlanPicture({}));
  figure.bars = std::vector<Bar>(60, figure.bars[1]);
  Elements(PlanPage(figure));
}

}  // namespace
}  // namespace headroom::cli
