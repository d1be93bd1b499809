// Filters of text, numbers and single values: value | name(…).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/json.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Arguments = CallArguments;

Result MakeText(Runtime& runtime, MarkedText text) { return runtime.workspace.MakeText(std::move(text)); }

template <Mapping kMapping>
Result MapFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText mapped, Map(text, kMapping, runtime.allowance()));
  return MakeText(runtime, std::move(mapped));
}

// Words begin at the start and behind - ( { [ < and white space.
Result TitleFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  bool begins = true;
  const auto map = [&begins](char32_t c, std::string_view character) {
    const bool begun = std::exchange(begins, IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<');
    return begun ? ToUpper(character) : ToLower(character);
  };
  HEADROOM_ASSIGN_OR_RETURN(MarkedText title, MapCharacters(text, map, runtime.allowance()));
  return MakeText(runtime, std::move(title));
}

Result CapitalizeFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText capitalized, Capitalized(text, runtime.allowance()));
  return MakeText(runtime, std::move(capitalized));
}

std::string QuoteUrl(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string quoted;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    if (plain) {
      quoted += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      quoted.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return quoted;
}

Result String(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  if (input.IsText()) return input;
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, ToText(input, runtime.allowance()));
  return MakeText(runtime, std::move(text));
}

Result Safe(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, ToText(input, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text), /*is_markup=*/true);
}

Result Escape(Runtime& runtime, const Value& input, const Arguments& arguments) {
  if (input.IsMarkup()) return input;
  HEADROOM_ASSIGN_OR_RETURN(const Value escaped, MapFilter<EscapeHtml>(runtime, input, arguments));
  return runtime.workspace.MakeText(escaped.text(), /*is_markup=*/true);
}

Result Trim(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"chars"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  std::optional<std::string_view> characters;
  if (given[0].IsText()) characters = given[0].text().bytes();
  HEADROOM_ASSIGN_OR_RETURN(MarkedText trimmed, Strip(text, characters, Side::kBoth, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(trimmed), input.IsMarkup());
}

Result ReplaceFilter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"old", "new", "count"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t count, IntegerOr(given[2], -1, "count"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText from, ToText(given[0], runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText to, ToText(given[1], runtime.allowance()));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText replaced, Replace(text, from, to, count, runtime.allowance()));
  return MakeText(runtime, std::move(replaced));
}

Result Indent(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"width", "first", "blank"}));
  MarkedText indent;
  if (given[0].IsText()) {
    indent = given[0].text();
  } else {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(given[0], 4, "width"));
    HEADROOM_ASSIGN_OR_RETURN(indent, Repeat(MarkedText(" ", Origin::kTemplate), width, runtime.allowance()));
  }
  if (input.IsUndefined()) return UndefinedError(input.As<Undefined>());
  if (!input.IsText()) return absl::InvalidArgumentError("indent takes a str, not " + TypeName(input));
  MarkedText text = input.text();
  text.Append("\n", Origin::kTemplate);
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<MarkedText> lines, SplitLines(text, false, runtime.allowance()));
  MarkedText out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n", Origin::kTemplate);
    const bool indented = i == 0 ? IsTrue(given[1]) : IsTrue(given[2]) || !lines[i].empty();
    if (indented) out.Append(indent);
    out.Append(lines[i]);
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(indent.size()));
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(out.size()));
  }
  return MakeText(runtime, std::move(out));
}

Result Center(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"width"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(given[0], 80, "width"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  const MarkedText fill(" ", Origin::kTemplate);
  HEADROOM_ASSIGN_OR_RETURN(MarkedText padded, Pad(text, width, fill, Side::kBoth, runtime.allowance()));
  return MakeText(runtime, std::move(padded));
}

Result Truncate(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"length", "killwords", "end", "leeway"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t length, IntegerOr(given[0], 255, "length"));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t leeway, IntegerOr(given[3], 5, "leeway"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText end, TextOr(given[2], "...", "end"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  const auto kept = length - static_cast<int64_t>(CountCharacters(end.bytes()));
  if (kept < 0 || leeway < 0) return absl::InvalidArgumentError("truncate: the length is below that of the end");
  if (static_cast<int64_t>(CountCharacters(text.bytes())) <= length + leeway) return MakeText(runtime, text);
  MarkedText cut = text.Cut(0, CharacterPosition(text.bytes(), static_cast<size_t>(kept)));
  const size_t space = cut.bytes().rfind(' ');
  if (!IsTrue(given[1]) && space != std::string::npos) cut = cut.Cut(0, space);
  cut.Append(end);
  return MakeText(runtime, std::move(cut));
}

Result Format(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText format, ToText(input, runtime.allowance()));
  if (arguments.named.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(const Value tuple, runtime.workspace.MakeList(arguments.positional, List::Kind::kTuple));
    return FormatPercent(runtime, format, tuple);
  }
  if (!arguments.positional.empty()) return absl::InvalidArgumentError("format takes arguments of one kind");
  HEADROOM_ASSIGN_OR_RETURN(const DictRef dict, runtime.workspace.MakeDict());
  for (const auto& [name, value] : arguments.named) HEADROOM_RETURN_IF_ERROR(runtime.workspace.Set(*dict, name, value));
  return FormatPercent(runtime, format, Value(dict));
}

Result WordCount(Runtime& runtime, const Value& input, const Arguments&) {
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  int64_t words = 0;
  bool in_word = false;
  for (size_t position = 0; position < text.size();) {
    const char32_t c = NextCodePoint(text.bytes(), &position);
    const bool letter = IsAlpha(c) || IsNumeric(c) || c == '_';
    words += letter && !in_word ? 1 : 0;
    in_word = letter;
  }
  return Value(words);
}

Result Default(Runtime&, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"default_value", "boolean"}));
  if (!input.IsUndefined() && (!IsTrue(given[1]) || IsTrue(input))) return input;
  if (!arguments.positional.empty() || !given[0].IsUndefined()) return given[0];
  return Value(TextRef(new Text()));
}

// A number that all of `text` (but white space around) spells.
template <typename Number>
std::optional<Number> Spelled(const MarkedText& text, int base) {
  std::string digits(TrimWhiteSpace(text.bytes()));
  std::erase(digits, '_');
  const bool plus = digits.starts_with('+');
  const char* const begin = digits.data() + (plus ? 1 : 0);
  const char* const end = digits.data() + digits.size();
  Number number{};
  std::from_chars_result result{};
  if constexpr (std::is_integral_v<Number>) {
    result = std::from_chars(begin, end, number, base);
  } else {
    result = std::from_chars(begin, end, number);
  }
  if (result.ec != std::errc() || result.ptr != end || begin == end) return std::nullopt;
  return number;
}

std::optional<int64_t> Truncated(double number) {
  if (!(std::fabs(number) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(number);
}

Result Integer(Runtime&, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"default", "base"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t base, IntegerOr(given[1], 10, "base"));
  if (base < 2 || base > 36) return absl::InvalidArgumentError("int: the base must be in [2, 36]");
  if (input.IsUndefined()) return UndefinedError(input.As<Undefined>());
  std::optional<int64_t> number;
  if (input.IsInteger()) number = input.integer();
  if (input.Is<double>()) number = Truncated(input.number());
  if (input.IsText()) {
    number = Spelled<int64_t>(input.text(), static_cast<int>(base));
    const std::optional<double> real = Spelled<double>(input.text(), 10);
    if (!number.has_value() && real.has_value()) number = Truncated(*real);
  }
  if (number.has_value()) return Value(*number);
  return given[0].IsUndefined() ? Value(int64_t{0}) : given[0];
}

Result Float(Runtime&, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"default"}));
  if (input.IsUndefined()) return UndefinedError(input.As<Undefined>());
  if (input.IsNumber()) return Value(input.number());
  if (input.IsText()) {
    const std::optional<double> number = Spelled<double>(input.text(), 10);
    if (number.has_value()) return Value(*number);
  }
  return given[0].IsUndefined() ? Value(0.0) : given[0];
}

Result Absolute(Runtime&, const Value& input, const Arguments&) {
  if (input.IsInteger() && input.integer() != INT64_MIN) return Value(std::abs(input.integer()));
  if (input.Is<double>()) return Value(std::fabs(input.number()));
  return absl::InvalidArgumentError("bad operand type for abs(): '" + TypeName(input) + "'");
}

Result Round(Runtime&, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"precision", "method"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t precision, IntegerOr(given[0], 0, "precision"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText method, TextOr(given[1], "common", "method"));
  if (!input.IsNumber()) return absl::InvalidArgumentError("round takes a number, not " + TypeName(input));
  if (precision < -20 || precision > 20) return absl::InvalidArgumentError("round: the precision must be in [-20, 20]");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method.bytes() == "ceil") return Value(std::ceil(input.number() * scale) / scale);
  if (method.bytes() == "floor") return Value(std::floor(input.number() * scale) / scale);
  if (method.bytes() != "common") return absl::InvalidArgumentError("round: method must be common, ceil or floor");
  if (input.IsInteger() && precision >= 0) return Value(input.integer());
  // Decimal digits, correctly rounded: half-way cases are decided by the exact value, as in Python.
  if (precision < 0) return Value(std::nearbyint(input.number() * scale) / scale);
  char buffer[400];
  const int size = std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), input.number());
  double rounded = 0;
  std::from_chars(buffer, buffer + size, rounded);
  return Value(rounded);
}

Result ToJson(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given,
                            Bind(arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = IsTrue(given[0]);
  style.sort_keys = IsTrue(given[3]);
  if (given[1].IsText()) {
    style.indent = given[1].text().bytes();
  } else if (given[1].IsInteger()) {
    const int64_t width = std::max<int64_t>(0, given[1].integer());
    if (width > 256) return absl::InvalidArgumentError("tojson: an indent above 256");
    style.indent = std::string(static_cast<size_t>(width), ' ');
  }
  if (style.indent.has_value()) style.item_separator = ",";
  if (given[2].IsList()) {
    const std::vector<Value>& separators = given[2].list().items;
    if (separators.size() != 2 || !separators[0].IsText() || !separators[1].IsText()) {
      return absl::InvalidArgumentError("tojson: separators must be two str");
    }
    style.item_separator = separators[0].text().bytes();
    style.key_separator = separators[1].text().bytes();
  }
  HEADROOM_ASSIGN_OR_RETURN(MarkedText json, WriteJson(input, style, runtime.allowance()));
  return MakeText(runtime, std::move(json));
}

Result FromJson(Runtime& runtime, const Value& input, const Arguments&) {
  if (!input.IsText()) return absl::InvalidArgumentError("from_json takes a str, not " + TypeName(input));
  return ReadJson(runtime.workspace, input.text().bytes(), Origin::kCaller);
}

}  // namespace

FilterFunction FindTextFilter(std::string_view name) {
  static constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {{"abs", Absolute},
                                                                             {"capitalize", CapitalizeFilter},
                                                                             {"center", Center},
                                                                             {"d", Default},
                                                                             {"default", Default},
                                                                             {"e", Escape},
                                                                             {"escape", Escape},
                                                                             {"float", Float},
                                                                             {"format", Format},
                                                                             {"from_json", FromJson},
                                                                             {"indent", Indent},
                                                                             {"int", Integer},
                                                                             {"lower", MapFilter<ToLower>},
                                                                             {"replace", ReplaceFilter},
                                                                             {"round", Round},
                                                                             {"safe", Safe},
                                                                             {"string", String},
                                                                             {"title", TitleFilter},
                                                                             {"tojson", ToJson},
                                                                             {"trim", Trim},
                                                                             {"truncate", Truncate},
                                                                             {"upper", MapFilter<ToUpper>},
                                                                             {"urlencode", MapFilter<QuoteUrl>},
                                                                             {"wordcount", WordCount}};
  const auto* const found =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kFilters) ? nullptr : found->second;
}

FilterFunction FindFilter(std::string_view name) {
  const FilterFunction filter = FindTextFilter(name);
  return filter != nullptr ? filter : FindSequenceFilter(name);
}

}  // namespace headroom::model::jinja
