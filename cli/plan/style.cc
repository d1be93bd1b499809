#include "cli/plan/style.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "common/units.h"

namespace headroom::cli {
namespace {

struct Paint {
  const char* key;
  const char* light;
  const char* dark;
};

// One hue a kind: weights blue, KV cache green, buffers of a step amber, attention scores red, what the platform takes
// grey.
constexpr std::array<Paint, 23> kPaints = {{{"llm_weights", "#86aedd", "#2c5d96"},
                                            {"head_weights", "#9dbfe6", "#376ca9"},
                                            {"vision_weights", "#b5d0ee", "#457cba"},
                                            {"resampler_weights", "#cfe1f5", "#568cc8"},
                                            {"kv_pool", "#74c69d", "#21795a"},
                                            {"llm_workspace", "#f0bf63", "#94650f"},
                                            {"vision_workspace", "#f5d189", "#a97a22"},
                                            {"embedding_store", "#d9c2ec", "#6d4f93"},
                                            {"communication", "#c5b3e6", "#5d4a91"},
                                            {"libraries", "#ccd2da", "#59636e"},
                                            {"context_floor", "#b8c0ca", "#47515c"},
                                            {"other_processes", "#a3acb8", "#3c454f"},
                                            {"alignment", "#dfe3e8", "#6a7480"},
                                            {"vision_inputs", "#f5d189", "#a97a22"},
                                            {"vision_activations", "#f0bf63", "#94650f"},
                                            {"resampler_activations", "#eeb04a", "#84560a"},
                                            {"llm_activations", "#f0bf63", "#94650f"},
                                            {"logits", "#f5d189", "#a97a22"},
                                            {"scores", "#f7c4b7", "#6f332b"},
                                            {"scores_scaled", "#f2ab9b", "#843a30"},
                                            {"scores_fp32", "#eb907e", "#9c4235"},
                                            {"softmax_fp32", "#e17563", "#b5493a"},
                                            {"other", "#ccd2da", "#59636e"}}};

std::string Rule(const std::string& selector, const std::string& body) { return selector + "{" + body + "}\n"; }

std::string Fills(const char* Paint::*colour) {
  std::string rules;
  for (const Paint& paint : kPaints) {
    rules += Rule(std::string(".s-") + paint.key, std::string("fill:") + paint.*colour);
  }
  return rules;
}

// Bytes of the UTF-8 character that starts `text`; 0 when none does.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const size_t length = byte(0) < 0x80                      ? 1
                        : byte(0) >= 0xC2 && byte(0) < 0xE0 ? 2
                        : byte(0) >= 0xE0 && byte(0) < 0xF0 ? 3
                        : byte(0) >= 0xF0 && byte(0) < 0xF5 ? 4
                                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
  const bool surrogate = byte(0) == 0xED && byte(1) >= 0xA0;
  const bool beyond = byte(0) == 0xF4 && byte(1) >= 0x90;
  const bool noncharacter = byte(0) == 0xEF && byte(1) == 0xBF && byte(2) >= 0xBE;
  return overlong || surrogate || beyond || noncharacter ? 0 : length;
}

}  // namespace

std::string Escaped(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + 16);
  while (!text.empty()) {
    const size_t length = CharacterBytes(text);
    const char first = text[0];
    if (length == 0 || (static_cast<unsigned char>(first) < 0x20 && first != '\n' && first != '\t') || first == 0x7F) {
      escaped += "\xEF\xBF\xBD";
    } else if (first == '&') {
      escaped += "&amp;";
    } else if (first == '<') {
      escaped += "&lt;";
    } else if (first == '>') {
      escaped += "&gt;";
    } else if (first == '"') {
      escaped += "&quot;";
    } else if (first == '\'') {
      escaped += "&#39;";
    } else {
      escaped += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(1, length));
  }
  return escaped;
}

bool IsUnused(const std::string& key) { return key == "headroom" || key == "unused"; }

std::string PartClass(const std::string& key) {
  if (IsUnused(key)) return "s-unused";
  const bool known = std::any_of(kPaints.begin(), kPaints.end(), [&](const Paint& paint) { return key == paint.key; });
  return "s-" + (known ? key : "other");
}

std::string PictureStyle() {
  const std::string face =
      "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
      "font-variant-numeric:tabular-nums";
  std::string style = Rule(".plan", face);
  style += Rule(".plan .title", "font-size:17px;font-weight:650") + Rule(".plan .subtitle", "font-size:12.5px") +
           Rule(".plan .group", "font-size:13px;font-weight:650") +
           Rule(".plan .name", "font-size:12.5px;font-weight:650") + Rule(".plan .head", "font-size:11.5px") +
           Rule(".plan .total", "font-size:12px;font-weight:650") + Rule(".plan .part", "font-size:10.5px") +
           Rule(".plan .tick", "font-size:10px") + Rule(".plan .end", "font-size:10.5px;font-weight:650") +
           Rule(".plan .foot", "font-size:10.5px") + Rule(".plan .key", "font-size:11px") +
           Rule(".seg:hover rect", "opacity:.82") + Rule(".limit", "stroke-width:1.6") +
           Rule(".grid", "stroke-width:1;stroke-dasharray:1 3") + Rule(".over", "fill:none;stroke-width:1.6") +
           Rule(".s-unused", "fill:none;stroke-dasharray:3 3;stroke-width:1");
  // Light, and dark where the reader prefers it.
  const auto scheme = [](const char* paper, const char* edge, const char* ink, const char* soft, const char* good,
                         const char* poor, const char* bad, const char* part, const char* grid) {
    const std::string fill = "fill:", stroke = "stroke:";
    return Rule(".paper", fill + paper + ";" + stroke + edge) + Rule(".gap", stroke + paper) +
           Rule(".tear", fill + paper) + Rule(".title,.group,.name,.total,.key,.end", fill + ink) +
           Rule(".subtitle,.tick,.foot,.plain", fill + soft) + Rule(".good", fill + good) + Rule(".poor", fill + poor) +
           Rule(".bad", fill + bad) + Rule(".over,.hatch", stroke + bad) + Rule(".part", fill + part) +
           Rule(".limit", stroke + ink) + Rule(".grid", stroke + grid) + Rule(".s-unused", stroke + soft);
  };
  style += scheme("#ffffff", "#d8dee4", "#1b2229", "#57606a", "#1a7f4f", "#9a6700", "#c2331f", "#16202a", "#c4ccd4");
  style += Fills(&Paint::light);
  style += "@media (prefers-color-scheme:dark){\n" +
           scheme("#0f141a", "#2d353e", "#e8edf2", "#9aa5b1", "#56c891", "#e0a93b", "#ff7b6b", "#f3f6f9", "#39424c") +
           Fills(&Paint::dark) + "}\n";
  return style;
}

std::string PageStyle() {
  const auto scheme = [](const char* paper, const char* ink, const char* soft, const char* line, const char* card) {
    return Rule("body", std::string("background:") + paper + ";color:" + ink) +
           Rule(".formula td,.note", std::string("color:") + soft) +
           Rule("table,tr", std::string("border-color:") + line) +
           Rule("section", std::string("background:") + card + ";border-color:" + line);
  };
  const std::string layout =
      "*{box-sizing:border-box}\n"
      "body{margin:0 auto;padding:24px 20px 40px;max-width:1040px;"
      "font:14px/1.45 -apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
      "font-variant-numeric:tabular-nums}\n"
      "figure{margin:0 0 28px}\nfigure svg{display:block;width:100%;height:auto}\n"
      "h2{font-size:17px;margin:28px 0 10px}\nh3{font-size:14px;margin:0 0 2px}\n"
      ".tables{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(400px,100%),1fr))}\n"
      "section{border:1px solid;border-radius:8px;padding:14px 16px;min-width:0}\n"
      "section p{margin:0 0 8px}\n.note{font-size:12.5px}\n"
      "table{width:100%;border-collapse:collapse}\n"
      "tr{border-top:1px solid}\nthead tr,tr:first-child{border-top:0}\n"
      "th,td{padding:5px 0 5px 12px;text-align:right;vertical-align:top;white-space:nowrap}\n"
      "th{font-weight:600;font-size:12px}\n"
      "th:first-child,td:first-child{padding-left:0;text-align:left;white-space:normal;overflow-wrap:anywhere}\n"
      "td{font-size:13px}\n"
      "tr.formula{border:0}\n.formula td,tbody .formula td:first-child{padding:0 0 6px "
      "18px;font-size:11.5px;line-height:1.35}\n"
      "tfoot td{font-weight:650}\n"
      ".swatch{width:11px;height:11px;margin-right:7px;vertical-align:-1px}\n"
      "td.bad,p.bad{font-weight:650}\n";
  return layout + scheme("#f6f8fa", "#1b2229", "#57606a", "#d8dee4", "#ffffff") +
         Rule("p.good,td.good", "color:#1a7f4f") + Rule("p.poor,td.poor", "color:#9a6700") +
         Rule("p.bad,td.bad", "color:#c2331f") + "@media (prefers-color-scheme:dark){\n" +
         scheme("#0a0e13", "#e8edf2", "#9aa5b1", "#2d353e", "#0f141a") + Rule("p.good,td.good", "color:#56c891") +
         Rule("p.poor,td.poor", "color:#e0a93b") + Rule("p.bad,td.bad", "color:#ff7b6b") + "}\n";
}

std::string GibDigits(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", static_cast<double>(bytes) / kGiB);
  return text;
}

std::string BytesText(int64_t bytes) {
  char text[48];
  const auto value = static_cast<double>(bytes);
  if (bytes >= kGiB / 10) {
    std::snprintf(text, sizeof(text), "%.2f GiB", value / kGiB);
  } else if (bytes >= kMiB / 10) {
    std::snprintf(text, sizeof(text), "%.1f MiB", value / kMiB);
  } else if (bytes >= kKiB) {
    std::snprintf(text, sizeof(text), "%.1f KiB", value / kKiB);
  } else {
    std::snprintf(text, sizeof(text), "%lld B", static_cast<long long>(bytes));
  }
  return text;
}

int64_t BytesOf(const PageColumn& column, bool with_unused) {
  int64_t sum = 0;
  for (const PagePart& part : column.parts) {
    if (part.bytes < 1 || (!with_unused && IsUnused(part.key))) continue;
    if (__builtin_add_overflow(sum, part.bytes, &sum)) return std::numeric_limits<int64_t>::max();
  }
  return sum;
}

int64_t BytesBeyond(const PageColumn& column, int64_t bytes) {
  return std::max<int64_t>(0, bytes - std::max<int64_t>(0, column.device_bytes));
}

double TextWidth(std::string_view text) {
  constexpr std::string_view kNarrow = "iljtfr.,:;'| ()!-", kWide = "mwMWGOQ%";
  double width = 0;
  for (const char character : text) {
    if ((static_cast<unsigned char>(character) & 0xC0) == 0x80) continue;  // a further byte of the same character
    const bool capital = character >= 'A' && character <= 'Z';
    if (static_cast<unsigned char>(character) >= 0xE3) {  // East Asian scripts, symbols
      width += 1;
    } else if (kNarrow.find(character) != std::string_view::npos) {
      width += 0.31;
    } else if (kWide.find(character) != std::string_view::npos) {
      width += 0.84;
    } else {
      width += capital ? 0.67 : 0.56;
    }
  }
  return width * 1.06;  // faces differ, and bold is wider
}

}  // namespace headroom::cli
