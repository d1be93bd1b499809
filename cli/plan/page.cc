#include "cli/plan/page.h"

#include <algorithm>
#include <cstdio>

#include "cli/plan/style.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

std::string Share(int64_t bytes, int64_t device_bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %%",
                100 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, device_bytes)));
  return text;
}

std::string Row(const std::string& first, int64_t bytes, int64_t device_bytes, const std::string& style) {
  const std::string cell = style.empty() ? "<td>" : "<td class=\"" + style + "\">";
  return "<tr>" + cell + first + "</td>" + cell + GibDigits(bytes) + "</td>" + cell + GroupedDigits(bytes) + "</td>" +
         cell + Share(bytes, device_bytes) + "</td></tr>\n";
}

const char* Tone(PageVerdict verdict) {
  switch (verdict) {
    case PageVerdict::kGood:
      return "good";
    case PageVerdict::kPoor:
      return "poor";
    case PageVerdict::kBad:
      return "bad";
  }
  return "";
}

std::string Table(const PageColumn& column) {
  std::string table = "<section>\n<h3>" + Escaped(column.title) + "</h3>\n<p class=\"" + Tone(column.verdict) + "\">" +
                      Escaped(column.headline) + "</p>\n";
  table += "<table>\n<thead><tr><th>part</th><th>GiB</th><th>bytes</th><th>of device</th></tr></thead>\n<tbody>\n";
  // From the top of the bar down.
  for (size_t i = column.parts.size(); i-- > 0;) {
    const PagePart& part = column.parts[i];
    if (part.bytes < 1) continue;
    const std::string first = "<svg class=\"swatch\" viewBox=\"0 0 11 11\"><rect class=\"" + PartClass(part.key) +
                              "\" x=\"0.5\" y=\"0.5\" width=\"10\" height=\"10\" rx=\"2\"/></svg>" +
                              Escaped(part.label);
    table += Row(first, part.bytes, column.device_bytes, "");
    if (!part.formula.empty()) {
      table += "<tr class=\"formula\"><td colspan=\"4\">" + Escaped(part.formula) + "</td></tr>\n";
    }
  }
  const int64_t sum = BytesOf(column, true);
  table += "</tbody>\n<tfoot>\n" + Row("sum", sum, column.device_bytes, "");
  table += Row("device", column.device_bytes, column.device_bytes, "");
  if (const int64_t beyond = BytesBeyond(column, sum); beyond > 0) {
    table += Row("beyond the device", beyond, column.device_bytes, "bad");
  }
  table += "</tfoot>\n</table>\n";
  if (!column.note.empty()) table += "<p class=\"note\">" + Escaped(column.note) + "</p>\n";
  return table + "</section>\n";
}

}  // namespace

std::string PlanPage(std::span<const PageColumn> columns, const PageText& text) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>" +
      Escaped(text.title) + "</title>\n<style>\n" + PageStyle() + PictureStyle() +
      "</style>\n</head>\n<body>\n<figure>\n" + PlanSvgInline(columns, text) + "</figure>\n";
  for (size_t i = 0; i < columns.size(); ++i) {
    const bool first = i == 0 || columns[i].group != columns[i - 1].group;
    if (first) {
      if (i > 0) page += "</div>\n";
      if (!columns[i].group.empty()) page += "<h2>" + Escaped(columns[i].group) + "</h2>\n";
      page += "<div class=\"tables\">\n";
    }
    page += Table(columns[i]);
  }
  if (!columns.empty()) page += "</div>\n";
  return page + "</body>\n</html>\n";
}

}  // namespace headroom::cli
