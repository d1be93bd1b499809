// The picture of a figure: each bar lies on its device's scale, groups below one another.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "cli/plan/markup.h"
#include "cli/plan/outputs.h"
#include "cli/plan/style.h"
#include "common/units.h"
#include "common/utf8.h"

namespace headroom::cli {
namespace {

constexpr double kWidth = 960, kMargin = 22, kInner = kWidth - 2 * kMargin;
constexpr double kBarHeight = 34, kPartSize = 10.5, kSpan = 8;
constexpr double kDevicesShown = 3;
constexpr int kKeysInARow = 7;

// Of a usual sans-serif face; a little too wide for most texts, so that what is said to fit does.
double TextWidth(const std::string& text, double size) {
  return 0.5 * size * static_cast<double>(CountCharacters(text));
}

std::string Text(const std::string& style, double x, double y, const std::string& text, const char* anchor = "start") {
  return Element("text", {{"class", style}, {"x", x}, {"y", y}, {"text-anchor", anchor}}, Escaped(text)) + "\n";
}

std::string Line(const std::string& style, double x1, double y1, double x2, double y2) {
  return Element("line", {{"class", style}, {"x1", x1}, {"y1", y1}, {"x2", x2}, {"y2", y2}}) + "\n";
}

std::string Rect(std::vector<Attribute> attributes, double x, double y, double width, double height) {
  attributes.insert(attributes.end(), {{"x", x}, {"y", y}, {"width", width}, {"height", height}});
  return Element("rect", attributes) + "\n";
}

double DeviceOf(const Bar& bar) { return static_cast<double>(std::max<int64_t>(1, bar.device_bytes)); }
double Devices(const Bar& bar, bool with_unused) { return static_cast<double>(bar.Bytes(with_unused)) / DeviceOf(bar); }

class Picture {
 public:
  explicit Picture(const Figure& figure) : figure_(figure) {
    double devices = 1;
    for (const Bar& bar : figure.bars) devices = std::max(devices, Devices(bar, true));
    shown_ = std::min(devices, kDevicesShown);
  }

  std::string Draw(bool alone) {
    Words("title", 17, 22, figure_.title);
    Words("subtitle", 12.5, 18, figure_.subtitle);
    for (size_t i = 0; i < figure_.bars.size();) i = DrawGroup(i);
    DrawKeys();
    for (const std::string& note : figure_.footnotes) {
      Words("foot", kPartSize, 15, note);
      y_ += 3;
    }
    return Element("svg", Frame(alone), Head(alone) + body_) + "\n";
  }

 private:
  double Height() const { return y_ + 14; }

  std::vector<Attribute> Frame(bool alone) const {
    std::vector<Attribute> frame = {{"class", "plan"}, {"role", "img"}};
    frame.emplace_back("viewBox", absl::StrFormat("0 0 %.2f %.2f", kWidth, Height()));
    if (alone)
      frame.insert(frame.end(), {{"xmlns", "http://www.w3.org/2000/svg"}, {"width", kWidth}, {"height", Height()}});
    return frame;
  }

  std::string Head(bool alone) const {
    const std::string hatch = Element("line", {{"class", "hatch"}, {"y2", 6.0}});
    return "\n" + Element("title", {}, Escaped(figure_.title)) + "\n" + (alone ? StyleElement(kPictureCss) : "") +
           Element("defs", {},
                   Element("pattern",
                           {{"id", "beyond"},
                            {"width", 6.0},
                            {"height", 6.0},
                            {"patternUnits", "userSpaceOnUse"},
                            {"patternTransform", "rotate(45)"}},
                           hatch)) +
           "\n" + Rect({{"class", "paper"}, {"rx", 8.0}}, 0.5, 0.5, kWidth - 1, Height() - 1);
  }

  // Goes down by lines as wide as the picture.
  void Words(const std::string& style, double size, double leading, const std::string& text) {
    std::string line;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      const std::string word = text.substr(at, end - at);
      if (!line.empty() && TextWidth(line + " " + word, size) > kInner) {
        body_ += Text(style, kMargin, y_ += leading, line);
        line.clear();
      }
      line += (line.empty() ? "" : " ") + word;
      at = end + 1;
    }
    if (!line.empty()) body_ += Text(style, kMargin, y_ += leading, line);
  }

  // Texts of several styles in one line.
  void Spans(double x, const char* anchor, const std::vector<std::pair<std::string, std::string>>& spans) {
    std::string line;
    for (const auto& [style, text] : spans) {
      if (!text.empty()) line += Element("tspan", {{"class", style}, {"dx", line.empty() ? 0 : kSpan}}, Escaped(text));
    }
    body_ += Element("text", {{"x", x}, {"y", y_}, {"text-anchor", anchor}}, line) + "\n";
  }

  double X(double devices) const { return kMargin + devices * kInner / shown_; }

  // The bars from `first` on that belong to one device; returns the first that does not.
  size_t DrawGroup(size_t first) {
    const std::vector<Bar>& bars = figure_.bars;
    const Bar& head = bars[first];
    y_ += 16;
    Words("group", 13.5, 18, head.group);
    const double top = y_ + 16;
    double devices = 1;
    size_t end = first;
    for (; end < bars.size() && bars[end].group == head.group && bars[end].device_bytes == head.device_bytes; ++end) {
      DrawBar(bars[end]);
      devices = std::max(devices, Devices(bars[end], false));
    }
    DrawAxis(InGib(std::max<int64_t>(1, head.device_bytes)), std::min(devices, shown_));
    body_ += Line("limit", X(1), top, X(1), y_ - 13);
    return end;
  }

  void DrawBar(const Bar& bar) {
    y_ += 18;
    const int64_t asked = bar.Bytes(false), over = bar.BytesBeyond(false);
    const std::string over_text = over > 0 ? FormatBytes(over) + " over" : "";
    Spans(kMargin, "start", {{"name", bar.title}, {std::string("head ") + ToneName(bar.tone), bar.headline}});
    if (asked > 0) {
      // Above the end of what it asks for; behind the line where the headline leaves no room before it.
      const std::string text = FormatBytes(asked);
      const double begin = kMargin + TextWidth(bar.title + bar.headline, 12) + 2 * kSpan;
      const double end = X(std::clamp(Devices(bar, false), 1.0, shown_)) - kSpan;
      const bool fits = begin + TextWidth(text + over_text, 12) + kSpan <= end;
      Spans(fits ? end : std::max(begin, X(1) + kSpan), fits ? "end" : "start",
            {{"total", text}, {"total bad", over_text}});
    }
    y_ += 6;
    double from = 0;  // in devices
    for (const Segment& segment : bar.segments) {
      if (segment.bytes < 1) continue;
      const double to = from + static_cast<double>(segment.bytes) / DeviceOf(bar);
      if (from < shown_) DrawSegment(segment, DeviceOf(bar), X(from), X(std::min(to, shown_)));
      from = to;
    }
    if (over > 0) {
      const double width = X(std::min(Devices(bar, false), shown_)) - X(1);
      body_ += Rect({{"class", "beyond"}, {"fill", "url(#beyond)"}}, X(1), y_, width, kBarHeight);
      body_ += Rect({{"class", "over"}}, X(1), y_, width, kBarHeight);
    }
    if (from > shown_ + 1e-9) DrawCut();
    y_ += kBarHeight;
  }

  // The bar goes on beyond the picture.
  void DrawCut() {
    const std::string path = absl::StrFormat("M%.2f %.2f h7 l-9 %.2f h-7 z", X(shown_) - 18, y_ - 2, kBarHeight + 4);
    body_ += Element("path", {{"class", "tear"}, {"d", path}}) + "\n";
  }

  void DrawSegment(const Segment& segment, double device, double x, double end) {
    const std::string formula = segment.formula.empty() ? "" : " = " + segment.formula;
    std::string drawn = Element("title", {}, Escaped(segment.label + ": " + FormatBytes(segment.bytes) + formula)) +
                        "\n" +
                        Rect({{"class", SegmentClass(segment.key)},
                              {"data-bytes", std::to_string(segment.bytes)},
                              {"data-device", device}},
                             x, y_, end - x, kBarHeight);
    if (end - x >= 4) drawn += Line("gap", x, y_, x, y_ + kBarHeight);
    const std::string style = segment.unused() ? "part plain" : "part";
    const std::string value = absl::StrFormat("%.2f", InGib(segment.bytes));
    const double value_width = TextWidth(value, kPartSize);
    const double width = std::max(TextWidth(segment.label, kPartSize), value_width);
    // A segment that crosses the end of the device carries its text on the longer side.
    double from = x, to = end;
    if (from < X(1) && to > X(1)) (X(1) - from > to - X(1) ? to : from) = X(1);
    if (from + 6 + width + 2 <= to) {
      drawn += Text(style, from + 6, y_ + 14, segment.label) + Text(style, from + 6, y_ + 27, value);
    } else if (value_width + 2 <= to - from) {
      drawn += Text(style, (from + to) / 2, y_ + 20.5, value, "middle");
    }
    body_ += Element("g", {{"class", "seg"}}, drawn) + "\n";
  }

  // Ticks at round numbers of GiB, as many as stand apart.
  void DrawAxis(double device_gib, double devices) {
    double step = std::exp2(-10);
    while (X(step / device_gib) - kMargin < 44) step *= 2;
    for (double gib = 0; gib <= devices * device_gib; gib += step) {
      const double x = X(gib / device_gib);
      if (std::abs(x - X(1)) < 44) continue;
      body_ += Line("mark", x, y_, x, y_ + 4) + Text("tick", x, y_ + 16, absl::StrFormat("%.6g", gib), "middle");
    }
    const std::string end = absl::StrFormat("%.4g GiB", device_gib);
    const double middle_max = kWidth - 6 - TextWidth(end, kPartSize) * 0.6;
    body_ += Text("end", std::min(X(1), middle_max), y_ + 16, end, "middle");
    y_ += 16;
  }

  void DrawKeys() {
    std::vector<std::string> drawn;
    y_ += 20;
    for (const Bar& bar : figure_.bars) {
      for (const Segment& segment : bar.segments) {
        const std::string style = SegmentClass(segment.key);
        if (segment.bytes < 1 || std::find(drawn.begin(), drawn.end(), style) != drawn.end()) continue;
        if (!drawn.empty() && drawn.size() % kKeysInARow == 0) y_ += 18;
        const double x = kMargin + static_cast<double>(drawn.size() % kKeysInARow) * kInner / kKeysInARow;
        body_ += Rect({{"class", style}, {"rx", 2.0}}, x, y_, 11, 11) + Text("key", x + 16, y_ + 9.5, segment.label);
        drawn.push_back(style);
      }
    }
    y_ += 20;
  }

  const Figure& figure_;
  double shown_ = 1;  // devices across the picture
  double y_ = 14;     // how far down it is drawn
  std::string body_;
};

}  // namespace

std::string PlanPicture(const Figure& figure) { return Picture(figure).Draw(true); }
std::string PictureElement(const Figure& figure) { return Picture(figure).Draw(false); }

}  // namespace headroom::cli
