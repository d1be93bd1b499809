// How values are written: Python's str() and repr().
#include <array>
#include <charconv>
#include <cmath>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/value.h"

namespace headroom::model::jinja {
namespace {

constexpr char kHex[] = "0123456789abcdef";

void AppendHex(char32_t character, int digits, MarkedText* out) {
  std::string hex;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) hex += kHex[(character >> shift) & 15];
  out->Append(hex, Origin::kTemplate);
}

// A string between quotes. Letters keep their origin; what escapes them is the writer's.
void AppendQuoted(const MarkedText& text, MarkedText* out) {
  const std::string& bytes = text.bytes();
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  out->Append(std::string(1, quote), Origin::kTemplate);
  for (size_t begin = 0; begin < bytes.size();) {
    size_t end = begin;
    const char32_t character = NextCodePoint(bytes, &end);
    if (character == '\\' || character == static_cast<char32_t>(quote)) {
      out->Append("\\", Origin::kTemplate);
      out->Append(text, begin, end);
    } else if (character == '\n' || character == '\r' || character == '\t') {
      out->Append(character == '\n' ? "\\n" : character == '\r' ? "\\r" : "\\t", Origin::kTemplate);
    } else if (IsPrintable(character)) {
      out->Append(text, begin, end);
    } else {
      const int digits = character < 0x100 ? 2 : character < 0x10000 ? 4 : 8;
      out->Append(digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U", Origin::kTemplate);
      AppendHex(character, digits, out);
    }
    begin = end;
  }
  out->Append(std::string(1, quote), Origin::kTemplate);
}

class Printer {
 public:
  explicit Printer(Allowance& allowance) : allowance_(allowance) {}

  absl::Status Repr(const Value& value, int depth) {
    if (depth > Workspace::kDepthMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("prints a value nested more than ", Workspace::kDepthMax, " deep"));
    }
    HEADROOM_RETURN_IF_ERROR(allowance_.Work(1));
    if (value.IsText()) {
      HEADROOM_RETURN_IF_ERROR(allowance_.WorkOnText(4 * value.text().size()));
      AppendQuoted(value.text(), &out_);
      return allowance_.CheckRoom(out_.size());
    }
    if (value.IsList()) return List(value, depth);
    if (value.IsDict()) return Dict(value.dict(), depth);
    Put(Simple(value));
    return absl::OkStatus();
  }

  static std::string Simple(const Value& value) {
    if (value.IsUndefined()) return "Undefined";
    if (value.IsNone()) return "None";
    if (value.Is<bool>()) return value.As<bool>() ? "True" : "False";
    if (value.IsInteger()) return std::to_string(value.integer());
    if (value.Is<double>()) return FormatFloat(value.number());
    return "<" + TypeName(value) + ">";
  }

  MarkedText Take() { return std::move(out_); }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, Origin::kTemplate); }

  absl::Status List(const Value& value, int depth) {
    const jinja::List& list = value.list();
    const bool tuple = list.kind == jinja::List::Kind::kTuple;
    const bool view = !list.IsSequence();
    if (list.kind == jinja::List::Kind::kIterator) {
      Put("<generator>");
      return absl::OkStatus();
    }
    Put(view ? TypeName(value) + "([" : tuple ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) Put(", ");
      HEADROOM_RETURN_IF_ERROR(Repr(list.items[i], depth + 1));
    }
    if (tuple && list.items.size() == 1) Put(",");
    Put(view ? "])" : tuple ? ")" : "]");
    return absl::OkStatus();
  }

  absl::Status Dict(const jinja::Dict& dict, int depth) {
    Put("{");
    for (size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) Put(", ");
      HEADROOM_RETURN_IF_ERROR(Repr(dict.items[i].first, depth + 1));
      Put(": ");
      HEADROOM_RETURN_IF_ERROR(Repr(dict.items[i].second, depth + 1));
    }
    Put("}");
    return absl::OkStatus();
  }

  Allowance& allowance_;
  MarkedText out_;
};

}  // namespace

std::string FormatFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string_view scientific(buffer.data(), static_cast<size_t>(result.ptr - buffer.data()));
  const size_t e = scientific.find('e');
  std::string digits;
  for (const char c : scientific.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  int exponent = 0;
  const char* const exponent_begin = scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_begin, scientific.data() + scientific.size(), exponent);
  const std::string sign = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    std::string text = sign + digits.substr(0, 1);
    if (digits.size() > 1) text += "." + digits.substr(1);
    const std::string power = std::to_string(std::abs(exponent));
    return text + (exponent < 0 ? "e-" : "e+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

absl::StatusOr<MarkedText> ToRepr(const Value& value, Allowance& allowance) {
  Printer printer(allowance);
  HEADROOM_RETURN_IF_ERROR(printer.Repr(value, 0));
  return printer.Take();
}

absl::StatusOr<MarkedText> ToText(const Value& value, Allowance& allowance) {
  if (value.IsText()) {
    HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(value.text().size()));
    return value.text();
  }
  if (value.IsUndefined()) return MarkedText();
  return ToRepr(value, allowance);
}

}  // namespace headroom::model::jinja
