// Python's two ways to format: text % arguments and text.format(…).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "common/utf8.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

constexpr int64_t kWidthMax = 1'000'000;
constexpr int kPrecisionMax = 100;

// What stands between % or : and the type.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';    // + - space
  bool alternate = false;
  int64_t width = 0;
  int precision = -1;
  char type = '\0';
};

absl::Status BadFormat(const std::string& what) { return absl::InvalidArgumentError("format: " + what); }

absl::StatusOr<int64_t> ReadNumber(std::string_view text, size_t* position) {
  int64_t number = 0;
  while (*position < text.size() && text[*position] >= '0' && text[*position] <= '9') {
    number = number * 10 + (text[(*position)++] - '0');
    if (number > kWidthMax) return BadFormat(absl::StrCat("a width above ", kWidthMax));
  }
  return number;
}

absl::Status ReadPrecision(std::string_view text, size_t* position, Spec* spec) {
  if (*position >= text.size() || text[*position] != '.') return absl::OkStatus();
  ++*position;
  HEADROOM_ASSIGN_OR_RETURN(const int64_t precision, ReadNumber(text, position));
  spec->precision = static_cast<int>(precision);
  return absl::OkStatus();
}

std::string InBase(uint64_t value, int base, bool upper) {
  constexpr std::string_view kLower = "0123456789abcdef";
  constexpr std::string_view kUpper = "0123456789ABCDEF";
  std::string digits;
  do {
    digits.push_back((upper ? kUpper : kLower)[value % static_cast<uint64_t>(base)]);
    value /= static_cast<uint64_t>(base);
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

absl::StatusOr<std::string> FormatNumber(const Value& value, const Spec& spec) {
  const char type = spec.type;
  if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
    if (!value.IsNumber())
      return BadFormat(absl::StrCat("%", std::string(1, type), " needs a number, not ", TypeName(value)));
    if (spec.precision > kPrecisionMax) return BadFormat(absl::StrCat("a precision above ", kPrecisionMax));
    const char pattern[] = {'%', '.', '*', type, '\0'};
    char buffer[512];
    const int precision = spec.precision < 0 ? 6 : spec.precision;
    const int size = std::snprintf(buffer, sizeof(buffer), pattern, precision, std::fabs(value.number()));
    std::string text(std::signbit(value.number()) ? 1 : 0, '-');
    return text.append(buffer, static_cast<size_t>(size));
  }
  int64_t number = 0;
  if (value.IsInteger()) {
    number = value.integer();
  } else if (value.Is<double>() && std::fabs(value.number()) < 9e18) {
    number = static_cast<int64_t>(value.number());
  } else {
    return BadFormat(absl::StrCat("%", std::string(1, type), " needs an integer, not ", TypeName(value)));
  }
  const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  const uint64_t magnitude = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  std::string text(number < 0 ? 1 : 0, '-');
  if (spec.alternate && base != 10) text.append({'0', type});
  return text.append(InBase(magnitude, base, type == 'X'));
}

// `text` in the width of `spec`; numbers have their sign before zeros.
absl::StatusOr<MarkedText> Align(const MarkedText& text, const Spec& spec, bool number, Allowance& allowance) {
  const char align = spec.align != '\0' ? spec.align : number ? '>' : '<';
  const MarkedText fill(spec.fill, Origin::kTemplate);
  const bool sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+' || text.bytes()[0] == ' ');
  if (align != '=' || !sign) {
    const Side side = align == '<' ? Side::kRight : align == '^' ? Side::kBoth : Side::kLeft;
    if (side == Side::kBoth) {
      const int64_t missing = spec.width - static_cast<int64_t>(CountCharacters(text.bytes()));
      HEADROOM_ASSIGN_OR_RETURN(MarkedText out, Repeat(fill, missing / 2, allowance));
      HEADROOM_ASSIGN_OR_RETURN(const MarkedText behind, Repeat(fill, missing - missing / 2, allowance));
      out.Append(text);
      out.Append(behind);
      return out;
    }
    return Pad(text, spec.width, fill, side, allowance);
  }
  MarkedText out = text.Cut(0, 1);
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText rest,
                            Pad(text.Cut(1, text.size()), spec.width - 1, fill, Side::kLeft, allowance));
  out.Append(rest);
  return out;
}

absl::StatusOr<MarkedText> FormatValue(const Value& value, const Spec& spec, Allowance& allowance) {
  MarkedText text;
  const bool number = spec.type != 's' && spec.type != 'r' && spec.type != 'c';
  if (spec.type == 'r') {
    HEADROOM_ASSIGN_OR_RETURN(text, ToRepr(value, allowance));
  } else if (!number) {
    HEADROOM_ASSIGN_OR_RETURN(text, ToText(value, allowance));
  } else {
    HEADROOM_ASSIGN_OR_RETURN(const std::string digits, FormatNumber(value, spec));
    const bool negative = digits.starts_with('-');
    if (spec.sign != '-' && !negative) text.Append(std::string_view(&spec.sign, 1), Origin::kTemplate);
    text.Append(digits, Origin::kTemplate);
  }
  if (!number && spec.precision >= 0)
    text = text.Cut(0, CharacterPosition(text.bytes(), static_cast<size_t>(spec.precision)));
  return Align(text, spec, number, allowance);
}

// The arguments of `%`, one after the other or by name.
class PercentArguments {
 public:
  explicit PercentArguments(const Value& arguments) : arguments_(arguments) {
    if (arguments.IsList() && arguments.list().kind == List::Kind::kTuple) {
      items_ = arguments.list().items;
    } else {
      items_ = {arguments};
    }
  }

  absl::StatusOr<Value> Next() {
    if (next_ >= items_.size()) return BadFormat("not enough arguments");
    return items_[next_++];
  }

  absl::StatusOr<Value> Named(std::string_view name) {
    if (!arguments_.IsDict()) return BadFormat("needs a map of arguments");
    next_ = items_.size();
    const Value* const found = arguments_.dict().Find(name);
    if (found == nullptr) return BadFormat("no argument '" + CutText(name, 64) + "'");
    return *found;
  }

  absl::Status CheckAllUsed() const {
    if (next_ >= items_.size() || arguments_.IsDict()) return absl::OkStatus();
    return BadFormat("not all arguments converted");
  }

 private:
  const Value& arguments_;
  std::vector<Value> items_;
  size_t next_ = 0;
};

// %[(name)][flags][width][.precision]type, behind the %.
absl::StatusOr<MarkedText> FormatOne(std::string_view format, size_t* position, PercentArguments& arguments,
                                     Allowance& allowance) {
  std::optional<std::string_view> name;
  if (*position < format.size() && format[*position] == '(') {
    const size_t end = format.find(')', *position);
    if (end == std::string_view::npos) return BadFormat("a name has no end");
    name = format.substr(*position + 1, end - *position - 1);
    *position = end + 1;
  }
  Spec spec;
  for (; *position < format.size(); ++*position) {
    const char flag = format[*position];
    if (flag == '-')
      spec.align = '<';
    else if (flag == '0' && spec.align != '<')
      spec.align = '=', spec.fill = "0";
    else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
      spec.sign = flag;
    else if (flag == '#')
      spec.alternate = true;
    else if (flag != '0' && flag != ' ')
      break;
  }
  HEADROOM_ASSIGN_OR_RETURN(spec.width, ReadNumber(format, position));
  HEADROOM_RETURN_IF_ERROR(ReadPrecision(format, position, &spec));
  if (*position >= format.size()) return BadFormat("incomplete format");
  spec.type = format[(*position)++];
  if (spec.type == '%') return MarkedText("%", Origin::kTemplate);
  if (std::string_view("srdiuxXoeEfFgG").find(spec.type) == std::string_view::npos) {
    return BadFormat("unsupported format character");
  }
  if ((spec.type == 's' || spec.type == 'r') && spec.align != '<') spec.align = '>', spec.fill = " ";
  HEADROOM_ASSIGN_OR_RETURN(const Value value, name.has_value() ? arguments.Named(*name) : arguments.Next());
  return FormatValue(value, spec, allowance);
}

// [[fill]align][sign][#][0][width][.precision][type]
absl::StatusOr<Spec> ReadBraceSpec(std::string_view text, const Value& value) {
  Spec spec;
  size_t position = 0;
  size_t second = 0;
  if (!text.empty()) NextCodePoint(text, &second);
  const auto aligns = [&](size_t at) {
    return at < text.size() && std::string_view("<>^=").find(text[at]) != std::string_view::npos;
  };
  if (!text.empty() && aligns(second)) {
    spec.fill = std::string(text.substr(0, second));
    spec.align = text[second];
    position = second + 1;
  } else if (aligns(0)) {
    spec.align = text[position++];
  }
  if (position < text.size() && std::string_view("+- ").find(text[position]) != std::string_view::npos)
    spec.sign = text[position++];
  if (position < text.size() && text[position] == '#') spec.alternate = (++position, true);
  if (position < text.size() && text[position] == '0' && spec.align == '\0') {
    spec.align = '=';
    spec.fill = "0";
  }
  HEADROOM_ASSIGN_OR_RETURN(spec.width, ReadNumber(text, &position));
  HEADROOM_RETURN_IF_ERROR(ReadPrecision(text, &position, &spec));
  if (position < text.size()) spec.type = text[position++];
  if (position != text.size()) return BadFormat("a format that is not supported");
  if (spec.type == '\0') {
    spec.type = value.Is<int64_t>() ? 'd' : 's';
    if (value.Is<double>()) {
      if (spec.precision >= 0) spec.type = 'g';
      if (spec.align == '\0') spec.align = '>';
    }
  }
  if (std::string_view("sdxXobeEfFgG").find(spec.type) == std::string_view::npos) {
    return BadFormat("unsupported format code");
  }
  return spec;
}

// The value that `field` (0, name, name.attribute, name[0] without the rest) stands for.
absl::StatusOr<Value> FieldValue(Runtime& runtime, std::string_view field, const CallArguments& arguments,
                                 size_t* automatic) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view first = field.substr(0, end);
  Value value;
  if (first.empty() || (first[0] >= '0' && first[0] <= '9')) {
    size_t index = *automatic;
    if (first.empty()) ++*automatic;
    if (!first.empty()) std::from_chars(first.data(), first.data() + first.size(), index);
    if (index >= arguments.positional.size()) return BadFormat("not enough arguments");
    value = arguments.positional[index];
  } else {
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& entry) { return entry.first == first; });
    if (named == arguments.named.end()) return BadFormat("no argument '" + CutText(first, 64) + "'");
    value = named->second;
  }
  for (size_t at = end; at < field.size();) {
    const bool subscript = field[at] == '[';
    const size_t stop = std::min(field.find_first_of(subscript ? "]" : ".[", at + 1), field.size());
    HEADROOM_ASSIGN_OR_RETURN(const Value path,
                              runtime.workspace.MakeText(std::string(field.substr(at + 1, stop - at - 1))));
    HEADROOM_ASSIGN_OR_RETURN(value, GetPath(runtime, value, path));
    at = stop + (subscript ? 1 : 0);
  }
  return value;
}

absl::StatusOr<MarkedText> FormatField(Runtime& runtime, std::string_view field, const CallArguments& arguments,
                                       size_t* automatic) {
  const size_t colon = std::min(field.find(':'), field.size());
  const std::string_view spec_text = colon < field.size() ? field.substr(colon + 1) : std::string_view();
  std::string_view name = field.substr(0, colon);
  bool repr = false;
  if (name.ends_with("!r") || name.ends_with("!s")) {
    repr = name.back() == 'r';
    name.remove_suffix(2);
  }
  HEADROOM_ASSIGN_OR_RETURN(Value value, FieldValue(runtime, name, arguments, automatic));
  if (repr) {
    HEADROOM_ASSIGN_OR_RETURN(MarkedText text, ToRepr(value, runtime.allowance()));
    HEADROOM_ASSIGN_OR_RETURN(value, runtime.workspace.MakeText(std::move(text)));
  }
  if (spec_text.empty()) return ToText(value, runtime.allowance());
  HEADROOM_ASSIGN_OR_RETURN(const Spec spec, ReadBraceSpec(spec_text, value));
  return FormatValue(value, spec, runtime.allowance());
}

}  // namespace

absl::StatusOr<Value> FormatPercent(Runtime& runtime, const MarkedText& format, const Value& arguments) {
  PercentArguments given(arguments);
  MarkedText out;
  const std::string& bytes = format.bytes();
  for (size_t position = 0; position < bytes.size();) {
    const size_t percent = std::min(bytes.find('%', position), bytes.size());
    out.Append(format, position, percent);
    position = percent;
    if (percent == bytes.size()) break;
    ++position;
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText piece, FormatOne(bytes, &position, given, runtime.allowance()));
    out.Append(piece);
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(out.size()));
  }
  HEADROOM_RETURN_IF_ERROR(given.CheckAllUsed());
  return runtime.workspace.MakeText(std::move(out));
}

absl::StatusOr<Value> FormatBraces(Runtime& runtime, const MarkedText& format, const CallArguments& arguments) {
  MarkedText out;
  size_t automatic = 0;
  const std::string& bytes = format.bytes();
  for (size_t position = 0; position < bytes.size();) {
    const size_t brace = std::min(bytes.find_first_of("{}", position), bytes.size());
    out.Append(format, position, brace);
    if (brace == bytes.size()) break;
    if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
      out.Append(format, brace, brace + 1);
      position = brace + 2;
      continue;
    }
    const size_t end = bytes.find('}', brace);
    if (bytes[brace] == '}' || end == std::string::npos) return BadFormat("a brace without its other");
    const std::string_view field = std::string_view(bytes).substr(brace + 1, end - brace - 1);
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText piece, FormatField(runtime, field, arguments, &automatic));
    out.Append(piece);
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(out.size()));
    position = end + 1;
  }
  return runtime.workspace.MakeText(std::move(out));
}

}  // namespace headroom::model::jinja
