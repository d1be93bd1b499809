// The picture of a figure on a page, and below it each bar as a table.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "cli/plan/markup.h"
#include "cli/plan/outputs.h"
#include "cli/plan/style.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

std::string Row(const std::string& first, int64_t bytes, int64_t device_bytes, const std::string& style = "") {
  const double share = static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, device_bytes));
  std::string cells;
  for (const std::string& cell :
       {first, absl::StrFormat("%.2f", InGib(bytes)), GroupedDigits(bytes), absl::StrFormat("%.1f %%", 100 * share)}) {
    cells += Element("td", {{"class", style}}, cell);
  }
  return Element("tr", {}, cells) + "\n";
}

std::string Rows(const Segment& segment, int64_t device_bytes) {
  const std::string swatch = Element(
      "rect",
      {{"class", SegmentClass(segment.key)}, {"x", 0.5}, {"y", 0.5}, {"width", 10.0}, {"height", 10.0}, {"rx", 2.0}});
  std::string rows =
      Row(Element("svg", {{"class", "swatch"}, {"viewBox", "0 0 11 11"}}, swatch) + Escaped(segment.label),
          segment.bytes, device_bytes);
  if (segment.formula.empty()) return rows;
  return rows + Element("tr", {{"class", "formula"}}, Element("td", {{"colspan", "4"}}, Escaped(segment.formula))) +
         "\n";
}

std::string Table(const Bar& bar) {
  std::string rows;
  // The end of the bar first: it is what is left for requests.
  for (size_t i = bar.segments.size(); i-- > 0;) {
    if (bar.segments[i].bytes > 0) rows += Rows(bar.segments[i], bar.device_bytes);
  }
  std::string sums = Row("sum", bar.Bytes(true), bar.device_bytes) + Row("device", bar.device_bytes, bar.device_bytes);
  if (const int64_t beyond = bar.BytesBeyond(true); beyond > 0) {
    sums += Row("beyond the device", beyond, bar.device_bytes, "bad");
  }
  const std::string heads = "<tr><th>part</th><th>GiB</th><th>bytes</th><th>of device</th></tr>";
  std::string section = "\n" + Element("h3", {}, Escaped(bar.title) + " ") + "\n" +
                        Element("p", {{"class", ToneName(bar.tone)}}, Escaped(bar.headline) + " ") + "\n" +
                        Element("table", {},
                                Element("thead", {}, heads) + "\n" + Element("tbody", {}, "\n" + rows) + "\n" +
                                    Element("tfoot", {}, "\n" + sums)) +
                        "\n";
  if (!bar.note.empty()) section += Element("p", {{"class", "note"}}, Escaped(bar.note)) + "\n";
  return Element("section", {}, section) + "\n";
}

}  // namespace

std::string PlanPage(const Figure& figure) {
  std::string body = "\n" + Element("figure", {}, "\n" + PictureElement(figure)) + "\n";
  for (size_t i = 0; i < figure.bars.size();) {
    const std::string& group = figure.bars[i].group;
    std::string tables = "\n";
    if (!group.empty()) body += Element("h2", {}, Escaped(group)) + "\n";
    for (; i < figure.bars.size() && figure.bars[i].group == group; ++i) tables += Table(figure.bars[i]);
    body += Element("div", {{"class", "tables"}}, tables) + "\n";
  }
  const std::string head =
      "\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta name=\"color-scheme\" content=\"light dark\"/>\n" +
      Element("title", {}, Escaped(figure.title) + " ") + "\n" + StyleElement(std::string(kPageCss) + kPictureCss);
  return "<!DOCTYPE html>\n" +
         Element("html", {{"lang", "en"}}, "\n" + Element("head", {}, head) + "\n" + Element("body", {}, body) + "\n") +
         "\n";
}

}  // namespace headroom::cli
