#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/utf8.h"
#include "model/text/jinja/json.h"

namespace headroom::model::jinja {
namespace {

void AppendUtf16Escape(uint32_t unit, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  *out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) *out += kHex[(unit >> shift) & 15];
}

// What stands for a character in a JSON string, or empty where it stands for itself.
std::string Escape(char32_t character, bool ensure_ascii) {
  switch (character) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  std::string escaped;
  if (character < 0x20 || (ensure_ascii && character >= 0x7F && character < 0x10000)) {
    AppendUtf16Escape(character, &escaped);
  } else if (ensure_ascii && character >= 0x10000) {
    AppendUtf16Escape(0xD800 + ((character - 0x10000) >> 10), &escaped);
    AppendUtf16Escape(0xDC00 + ((character - 0x10000) & 0x3FF), &escaped);
  }
  return escaped;
}

class Writer {
 public:
  Writer(const JsonStyle& style, Allowance& allowance) : style_(style), allowance_(allowance) {}

  absl::Status Write(const Value& value, int depth) {
    if (depth > Workspace::kDepthMax) {
      return absl::InvalidArgumentError(absl::StrCat("writes JSON nested more than ", Workspace::kDepthMax, " deep"));
    }
    HEADROOM_RETURN_IF_ERROR(allowance_.Work(1));
    HEADROOM_RETURN_IF_ERROR(allowance_.CheckRoom(out_.size()));
    if (value.IsText()) return WriteString(value.text());
    if (value.IsDict()) return WriteDict(value.dict(), depth + 1);
    if (value.IsList() && value.list().IsSequence()) return WriteList(value.list(), depth + 1);
    HEADROOM_ASSIGN_OR_RETURN(const std::string text, Simple(value));
    Put(text);
    return absl::OkStatus();
  }

  MarkedText Take() { return std::move(out_); }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, Origin::kCaller); }

  static absl::StatusOr<std::string> Simple(const Value& value) {
    if (value.IsNone()) return std::string("null");
    if (value.Is<bool>()) return std::string(value.As<bool>() ? "true" : "false");
    if (value.IsInteger()) return std::to_string(value.integer());
    if (!value.Is<double>()) {
      return absl::InvalidArgumentError("Object of type " + TypeName(value) + " is not JSON serializable");
    }
    const double number = value.number();
    if (std::isnan(number)) return std::string("NaN");
    if (std::isinf(number)) return std::string(number < 0 ? "-Infinity" : "Infinity");
    return FormatFloat(number);
  }

  absl::Status WriteString(const MarkedText& text) {
    HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(4 * text.size()));
    Put("\"");
    size_t plain = 0;  // from here nothing needed an escape
    for (size_t position = 0; position < text.size();) {
      const size_t begin = position;
      const std::string escaped = Escape(NextCodePoint(text.bytes(), &position), style_.ensure_ascii);
      if (escaped.empty()) continue;
      out_.Append(text, plain, begin);
      out_.Append(escaped, text.OriginAt(begin));
      plain = position;
    }
    out_.Append(text, plain, text.size());
    Put("\"");
    return absl::OkStatus();
  }

  absl::Status BreakLine(int depth) {
    if (!style_.indent.has_value()) return absl::OkStatus();
    Put("\n");
    HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(style_.indent->size() * static_cast<size_t>(depth)));
    for (int i = 0; i < depth; ++i) Put(*style_.indent);
    return allowance_.CheckRoom(out_.size());
  }

  absl::Status WriteList(const List& list, int depth) {
    if (list.items.empty()) {
      Put("[]");
      return absl::OkStatus();
    }
    Put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) Put(style_.item_separator);
      HEADROOM_RETURN_IF_ERROR(BreakLine(depth));
      HEADROOM_RETURN_IF_ERROR(Write(list.items[i], depth));
    }
    HEADROOM_RETURN_IF_ERROR(BreakLine(depth - 1));
    Put("]");
    return absl::OkStatus();
  }

  // Positions of the items, by key where the style wants that.
  absl::StatusOr<std::vector<size_t>> Order(const Dict& dict) {
    std::vector<size_t> order(dict.items.size());
    std::iota(order.begin(), order.end(), size_t{0});
    absl::Status status;
    if (!style_.sort_keys) return order;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const absl::StatusOr<int> compared = Compare(dict.items[a].first, dict.items[b].first, allowance_);
      if (!compared.ok()) status = compared.status();
      return compared.ok() && *compared < 0;
    });
    if (!status.ok()) return status;
    return order;
  }

  absl::Status WriteKey(const Value& key) {
    if (key.IsText()) return WriteString(key.text());
    if (key.IsList()) return absl::InvalidArgumentError("JSON takes no tuple as a key");
    HEADROOM_ASSIGN_OR_RETURN(const std::string text, Simple(key));
    Put("\"" + text + "\"");
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict, int depth) {
    if (dict.items.empty()) {
      Put("{}");
      return absl::OkStatus();
    }
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<size_t> order, Order(dict));
    Put("{");
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) Put(style_.item_separator);
      HEADROOM_RETURN_IF_ERROR(BreakLine(depth));
      HEADROOM_RETURN_IF_ERROR(WriteKey(dict.items[order[i]].first));
      Put(style_.key_separator);
      HEADROOM_RETURN_IF_ERROR(Write(dict.items[order[i]].second, depth));
    }
    HEADROOM_RETURN_IF_ERROR(BreakLine(depth - 1));
    Put("}");
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  Allowance& allowance_;
  MarkedText out_;
};

}  // namespace

absl::StatusOr<MarkedText> WriteJson(const Value& value, const JsonStyle& style, Allowance& allowance) {
  Writer writer(style, allowance);
  HEADROOM_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace headroom::model::jinja
