#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "cli/plan/page.h"
#include "cli/plan/style.h"

namespace headroom::cli {
namespace {

constexpr double kWidth = 960, kMargin = 22;
constexpr double kGutter = 46, kBarGap = 10, kGroupPad = 14;  // of a group: axis labels, between bars, at its right
constexpr double kBarMax = 220;
constexpr double kPlotHeight = 440, kDeviceHeightMin = 150, kDeviceHeightMax = 340;
constexpr double kDevicesShown = 3;
constexpr double kPartSize = 10.5, kHeadSize = 11.5, kNameSize = 12.5, kGroupSize = 13, kLine = 15;

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

std::string Attribute(const char* name, double value) { return std::string(" ") + name + "=\"" + Number(value) + "\""; }

std::string Text(const std::string& style, double x, double y, const std::string& text, const char* anchor = "start") {
  return "<text class=\"" + style + "\"" + Attribute("x", x) + Attribute("y", y) + " text-anchor=\"" + anchor + "\">" +
         Escaped(text) + "</text>\n";
}

std::string Line(const std::string& style, double x1, double y1, double x2, double y2) {
  return "<line class=\"" + style + "\"" + Attribute("x1", x1) + Attribute("y1", y1) + Attribute("x2", x2) +
         Attribute("y2", y2) + "/>\n";
}

std::string Box(double x, double y, double width, double height) {
  return Attribute("x", x) + Attribute("y", y) + Attribute("width", width) + Attribute("height", height);
}

// Words of `text` in lines of at most `width` units at size 1; a longer word stands alone.
std::vector<std::string> Wrapped(const std::string& text, double width) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && TextWidth(line + " " + word) > width) {
      lines.push_back(line);
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

// In as few lines, of lengths as equal as may be.
std::vector<std::string> Balanced(const std::string& text, double width) {
  std::vector<std::string> lines = Wrapped(text, width);
  for (double narrower = width - 0.5; narrower > 2; narrower -= 0.5) {
    std::vector<std::string> tried = Wrapped(text, narrower);
    const bool fits =
        std::all_of(tried.begin(), tried.end(), [&](const auto& line) { return TextWidth(line) <= narrower; });
    if (tried.size() > lines.size() || !fits) break;
    lines = std::move(tried);
  }
  return lines;
}

// Nothing when too little of it would be left.
std::string Shortened(const std::string& text, double width) {
  if (TextWidth(text) <= width) return text;
  std::string kept = text;
  while (!kept.empty() && TextWidth(kept) + 0.9 > width) {
    // Back to the start of a character.
    while (!kept.empty() && (static_cast<unsigned char>(kept.back()) & 0xC0) == 0x80) kept.pop_back();
    if (!kept.empty()) kept.pop_back();
  }
  while (!kept.empty() && kept.back() == ' ') kept.pop_back();
  return TextWidth(kept) < 0.55 * TextWidth(text) ? "" : kept + "…";
}

double DeviceOf(const PageColumn& column) { return static_cast<double>(std::max<int64_t>(1, column.device_bytes)); }

// Bars that belong to one device.
struct Group {
  std::span<const PageColumn> columns;
  double x = 0, width = 0, bar = 0;

  double BarX(size_t index) const { return x + kGutter + static_cast<double>(index) * (bar + kBarGap); }
  double Right() const { return BarX(columns.size() - 1) + bar; }
};

class Picture {
 public:
  Picture(std::span<const PageColumn> columns, const PageText& text) : columns_(columns), text_(text) {
    Split();
    double devices = 1;
    for (const PageColumn& column : columns_) {
      devices = std::max(devices, static_cast<double>(BytesOf(column, true)) / DeviceOf(column));
    }
    devices_shown_ = std::min(devices, kDevicesShown);
    device_height_ = std::clamp(kPlotHeight / devices_shown_, kDeviceHeightMin, kDeviceHeightMax);
  }

  std::string Draw(bool alone) {
    const std::string head = DrawHead();
    top_ = y_ + 34;
    limit_ = top_ + (devices_shown_ - 1) * device_height_;
    base_ = limit_ + device_height_;
    for (const Group& group : groups_) {
      for (const PageColumn& column : group.columns) {
        name_lines_ = std::max(name_lines_, NameLines(column, group.bar).size());
        head_lines_ = std::max(head_lines_, HeadLines(column, group.bar).size());
      }
    }
    std::string body;
    for (const Group& group : groups_) {
      body += DrawAxis(group);
      for (size_t i = 0; i < group.columns.size(); ++i) body += DrawBar(group.columns[i], group.BarX(i), group.bar);
      body += DrawLimit(group);
    }
    y_ = base_ + 5 + static_cast<double>(name_lines_ + head_lines_) * kLine + 18;
    body += DrawLegend();
    body += DrawFootnotes();
    return Opened(alone) + head + body + "</svg>\n";
  }

 private:
  void Split() {
    size_t start = 0;
    for (size_t i = 1; i <= columns_.size(); ++i) {
      if (i < columns_.size() && columns_[i].group == columns_[start].group &&
          columns_[i].device_bytes == columns_[start].device_bytes) {
        continue;
      }
      groups_.push_back({.columns = columns_.subspan(start, i - start)});
      start = i;
    }
    const double around = static_cast<double>(groups_.size()) * (kGutter + kGroupPad) +
                          static_cast<double>(columns_.size() - groups_.size()) * kBarGap;
    const double bar = std::max(12.0, std::min(kBarMax, (kWidth - 2 * kMargin - around) /
                                                            static_cast<double>(std::max<size_t>(1, columns_.size()))));
    double x = kMargin;
    for (Group& group : groups_) {
      group.x = x;
      group.bar = bar;
      group.width = group.Right() - x;
      x = group.Right() + kGroupPad;
    }
    width_ = std::max(kWidth, x - kGroupPad + kMargin);
    const double spare = (width_ - kMargin - (x - kGroupPad)) / 2;
    for (Group& group : groups_) group.x += std::max(0.0, spare);
  }

  std::string Opened(bool alone) const {
    const double height = y_ + 12;
    std::string svg = "<svg class=\"plan\"";
    if (alone)
      svg += " xmlns=\"http://www.w3.org/2000/svg\"" + Attribute("width", width_) + Attribute("height", height);
    svg += " viewBox=\"0 0 " + Number(width_) + " " + Number(height) + "\" role=\"img\">\n<title>" +
           Escaped(text_.title) + "</title>\n";
    if (alone) svg += "<style>\n" + PictureStyle() + "</style>\n";
    svg +=
        "<defs><pattern id=\"beyond\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
        "patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" "
        "stroke-width=\"1.6\" stroke-opacity=\"0.55\"/></pattern></defs>\n";
    return svg + "<rect class=\"paper\"" + Box(0.5, 0.5, width_ - 1, height - 1) + " rx=\"8\"/>\n";
  }

  std::string DrawHead() {
    std::string head;
    y_ = 14;
    for (const std::string& line : Wrapped(text_.title, (width_ - 2 * kMargin) / 17)) {
      head += Text("title", kMargin, y_ += 22, line);
    }
    for (const std::string& line : Wrapped(text_.subtitle, (width_ - 2 * kMargin) / 12.5)) {
      head += Text("subtitle", kMargin, y_ += 18, line);
    }
    y_ += 8;
    double lowest = y_;
    for (const Group& group : groups_) {
      double y = y_;
      if (group.columns[0].group.empty()) continue;
      for (const std::string& line : Wrapped(group.columns[0].group, (group.width - kGutter) / kGroupSize)) {
        head += Text("group", group.BarX(0), y += 18, line);
      }
      lowest = std::max(lowest, y);
    }
    y_ = lowest + 6;
    return head;
  }

  double Y(double devices) const { return base_ - devices * device_height_; }

  // Ticks at round numbers of GiB, as many as stand apart.
  std::string DrawAxis(const Group& group) const {
    const double device_gib = DeviceOf(group.columns[0]) / std::exp2(30);
    double step = std::exp2(-10);
    while (device_height_ * step / device_gib < 34) step *= 2;
    std::string axis;
    double devices = 1;
    for (const PageColumn& column : group.columns) {
      devices = std::max(devices, static_cast<double>(BytesOf(column, false)) / DeviceOf(column));
    }
    const auto steps = static_cast<int>(std::min(1000.0, std::min(devices, devices_shown_) * device_gib / step));
    for (int i = 0; i <= steps; ++i) {
      const double gib = i * step, y = Y(gib / device_gib);
      if (i > 0) axis += Line("grid", group.BarX(0) - 4, y, group.Right() + 4, y);
      if (std::abs(y - limit_) < 11) continue;
      char text[32];
      std::snprintf(text, sizeof(text), "%.6g", gib);
      axis += Text("tick", group.BarX(0) - 8, y + 3.5, text, "end");
    }
    return axis + Line("limit", group.BarX(0) - 4, base_ + 0.5, group.Right() + 4, base_ + 0.5);
  }

  std::string DrawLimit(const Group& group) const {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3g GiB", DeviceOf(group.columns[0]) / std::exp2(30));
    return Line("limit", group.BarX(0) - 4, limit_, group.Right() + 4, limit_) +
           Text("end", group.BarX(0) - 8, limit_ + 3.5, text, "end");
  }

  std::string DrawBar(const PageColumn& column, double x, double width) const {
    const double device = DeviceOf(column);
    const double most = devices_shown_ + 1e-9;
    std::string bar = "<g>\n";
    double from = 0;  // in devices
    bool torn = false;
    for (const PagePart& part : column.parts) {
      if (part.bytes < 1) continue;
      const double to = from + static_cast<double>(part.bytes) / device;
      if (from < most) bar += DrawPart(part, device, x, width, from, std::min(to, devices_shown_));
      torn = torn || to > most;
      from = to;
    }
    const double top = Y(std::min(from, devices_shown_));
    const int64_t asked = BytesOf(column, false);
    const int64_t over = BytesBeyond(column, asked);
    double label = std::min(top, limit_) - 7;
    if (over > 0) {
      bar += "<rect class=\"beyond\" fill=\"url(#beyond)\"" + Box(x, top, width, limit_ - top) + "/>\n";
      bar += "<rect class=\"over\"" + Box(x, top, width, limit_ - top) + "/>\n";
      bar += Text("total bad", x + width / 2, label, BytesText(over) + " over", "middle");
      label -= kLine;
    }
    if (torn) bar += Tear(x, top + 18, width);
    if (asked > 0) bar += Text("total", x + width / 2, label, BytesText(asked), "middle");
    double y = base_ + 5;
    for (const std::string& line : NameLines(column, width))
      bar += Text("name", x + width / 2, y += kLine, line, "middle");
    y = base_ + 5 + static_cast<double>(name_lines_) * kLine;
    const std::string tone = column.verdict == PageVerdict::kGood   ? "good"
                             : column.verdict == PageVerdict::kPoor ? "poor"
                                                                    : "bad";
    for (const std::string& line : HeadLines(column, width))
      bar += Text("head " + tone, x + width / 2, y += kLine, line, "middle");
    return bar + "</g>\n";
  }

  std::string DrawPart(const PagePart& part, double device, double x, double width, double from, double to) const {
    const double y = Y(to), height = (to - from) * device_height_;
    std::string text = "<g class=\"seg\"><title>" + Escaped(part.label) + ": " + BytesText(part.bytes) +
                       (part.formula.empty() ? "" : " = " + Escaped(part.formula)) + "</title>\n";
    text += "<rect class=\"" + PartClass(part.key) + "\"" + Box(x, y, width, height) + " data-bytes=\"" +
            std::to_string(part.bytes) + "\" data-device=\"" + Number(device) + "\"/>\n";
    if (height >= 4) text += Line("gap", x, y, x + width, y);
    const std::string value = GibDigits(part.bytes);
    const double room = width / kPartSize - 1.3, value_width = TextWidth(value);
    // A part that crosses the end of the device carries its text on the larger side.
    const bool crosses = y < limit_ && limit_ < y + height;
    const double above = limit_ - y, below = y + height - limit_;
    const double text_y = crosses && below >= above ? limit_ : y;
    const double text_height = crosses ? std::max(above, below) : height;
    if (text_height >= kPartSize + 1.5 && room >= value_width) {
      const std::string label = Shortened(part.label, room - value_width - 0.5);
      const double baseline = text_y + text_height / 2 + kPartSize * 0.36;
      const std::string style = IsUnused(part.key) ? "part plain" : "part";
      if (label.empty()) {
        text += Text(style, x + width / 2, baseline, value, "middle");
      } else {
        text += Text(style, x + 7, baseline, label) + Text(style, x + width - 7, baseline, value, "end");
      }
    }
    return text + "</g>\n";
  }

  // A bar that goes on beyond the picture: two jagged cuts.
  static std::string Tear(double x, double y, double width) {
    const int teeth = std::max(2, static_cast<int>(width / 12));
    std::string points;
    const auto point = [&](int i, double offset) {
      points += Number(x - 2 + (width + 4) * i / teeth) + "," + Number(y + offset + (i % 2 == 0 ? 0 : 5)) + " ";
    };
    for (int i = 0; i <= teeth; ++i) point(i, 0);
    for (int i = teeth; i >= 0; --i) point(i, 6);
    points.pop_back();
    return "<polygon class=\"tear\" points=\"" + points + "\"/>\n";
  }

  static std::vector<std::string> NameLines(const PageColumn& column, double width) {
    return Balanced(column.title, (width + kBarGap - 4) / kNameSize);
  }
  static std::vector<std::string> HeadLines(const PageColumn& column, double width) {
    return Balanced(column.headline, (width + kBarGap - 4) / kHeadSize);
  }

  std::string DrawLegend() {
    std::string legend;
    std::vector<std::string> seen;
    double x = kMargin;
    for (const PageColumn& column : columns_) {
      for (const PagePart& part : column.parts) {
        const std::string style = PartClass(part.key);
        if (part.bytes < 1 || std::find(seen.begin(), seen.end(), style) != seen.end()) continue;
        seen.push_back(style);
        const double width = 16 + TextWidth(part.label) * 11 + 18;
        if (x + width > width_ - kMargin && x > kMargin) {
          x = kMargin;
          y_ += 18;
        }
        legend += "<rect class=\"" + style + "\"" + Box(x, y_, 11, 11) + " rx=\"2\"/>\n" +
                  Text("key", x + 16, y_ + 9.5, part.label);
        x += width;
      }
    }
    y_ += 18;
    return legend;
  }

  std::string DrawFootnotes() {
    std::string foot;
    y_ += 6;
    for (const std::string& note : text_.footnotes) {
      for (const std::string& line : Wrapped(note, (width_ - 2 * kMargin) / 10.5))
        foot += Text("foot", kMargin, y_ += 15, line);
      y_ += 3;
    }
    return foot;
  }

  std::span<const PageColumn> columns_;
  const PageText& text_;
  std::vector<Group> groups_;
  double width_ = kWidth;
  double devices_shown_ = 1, device_height_ = kDeviceHeightMax;
  double top_ = 0, limit_ = 0, base_ = 0;
  size_t name_lines_ = 1, head_lines_ = 0;
  double y_ = 0;  // how far down the page is drawn
};

}  // namespace

std::string PlanSvg(std::span<const PageColumn> columns, const PageText& text) {
  return Picture(columns, text).Draw(true);
}

std::string PlanSvgInline(std::span<const PageColumn> columns, const PageText& text) {
  return Picture(columns, text).Draw(false);
}

}  // namespace headroom::cli
