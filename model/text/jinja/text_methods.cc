// Methods of strings: text.strip() and the like.
#include <algorithm>
#include <iterator>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/runtime.h"
#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Arguments = CallArguments;

Result MakeTexts(Runtime& runtime, std::vector<MarkedText> texts, List::Kind kind = List::Kind::kList) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (MarkedText& text : texts) {
    HEADROOM_ASSIGN_OR_RETURN(items.emplace_back(), runtime.workspace.MakeText(std::move(text)));
  }
  return runtime.workspace.MakeList(std::move(items), kind);
}

Value NoneIfAbsent(const Value& value) { return value.IsUndefined() ? Value(None{}) : value; }

template <Side kSide>
Result StripMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"chars"}));
  std::optional<std::string_view> characters;
  if (given[0].IsText()) characters = given[0].text().bytes();
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, Strip(self, characters, kSide, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

template <Side kSide>
Result SplitMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"sep", "maxsplit"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t splits_max, IntegerOr(given[1], -1, "maxsplit"));
  std::vector<MarkedText> parts;
  if (given[0].IsUndefined() || given[0].IsNone()) {
    HEADROOM_ASSIGN_OR_RETURN(parts, SplitAtSpace(self, splits_max, kSide, runtime.allowance()));
  } else {
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText separator, TextOr(given[0], "", "sep"));
    if (separator.empty()) return absl::InvalidArgumentError("empty separator");
    HEADROOM_ASSIGN_OR_RETURN(parts, Split(self, separator.bytes(), splits_max, kSide, runtime.allowance()));
  }
  return MakeTexts(runtime, std::move(parts));
}

Result SplitLinesMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"keepends"}));
  HEADROOM_ASSIGN_OR_RETURN(std::vector<MarkedText> lines, SplitLines(self, IsTrue(given[0]), runtime.allowance()));
  return MakeTexts(runtime, std::move(lines));
}

template <Side kSide>
Result PartitionMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"sep"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText separator, TextOr(given[0], "", "sep"));
  if (separator.empty()) return absl::InvalidArgumentError("empty separator");
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<MarkedText> parts,
                            Split(self, separator.bytes(), 1, kSide, runtime.allowance()));
  if (parts.size() == 2) return MakeTexts(runtime, {parts[0], separator, parts[1]}, List::Kind::kTuple);
  return kSide == Side::kRight ? MakeTexts(runtime, {{}, {}, self}, List::Kind::kTuple)
                               : MakeTexts(runtime, {self, {}, {}}, List::Kind::kTuple);
}

// startswith and endswith, of one word or any of a tuple, in self[start:end].
template <bool kStart>
Result BeginsOrEnds(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"word", "start", "end"}));
  HEADROOM_ASSIGN_OR_RETURN(const Value whole, runtime.workspace.MakeText(self));
  HEADROOM_ASSIGN_OR_RETURN(const Value part,
                            GetSlice(runtime, whole, NoneIfAbsent(given[1]), NoneIfAbsent(given[2]), Value(None{})));
  const std::string_view text = part.text().bytes();
  std::vector<Value> words = {given[0]};
  if (given[0].IsList() && given[0].list().kind == List::Kind::kTuple) words = given[0].list().items;
  for (const Value& word : words) {
    if (!word.IsText()) {
      return absl::InvalidArgumentError("startswith and endswith take a str or a tuple of str, not " + TypeName(word));
    }
    const std::string_view bytes = word.text().bytes();
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(bytes.size()));
    if (kStart ? text.starts_with(bytes) : text.ends_with(bytes)) return Value(true);
  }
  return Value(false);
}

Result ReplaceMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"old", "new", "count"}));
  for (const Value* word : {&given[0], &given[1]}) {
    if (!word->IsText()) return absl::InvalidArgumentError("replace takes two str, not " + TypeName(*word));
  }
  HEADROOM_ASSIGN_OR_RETURN(const int64_t count, IntegerOr(given[2], -1, "count"));
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text,
                            Replace(self, given[0].text(), given[1].text(), count, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

// find and index, from the left or right: in characters.
template <Side kSide, bool kMustExist>
Result FindMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"sub", "start", "end"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText word, TextOr(given[0], "", "sub"));
  HEADROOM_ASSIGN_OR_RETURN(int64_t skipped, IntegerOr(given[1], 0, "start"));
  HEADROOM_ASSIGN_OR_RETURN(const Value whole, runtime.workspace.MakeText(self));
  HEADROOM_ASSIGN_OR_RETURN(const Value part,
                            GetSlice(runtime, whole, NoneIfAbsent(given[1]), NoneIfAbsent(given[2]), Value(None{})));
  const std::string& text = part.text().bytes();
  size_t at = std::string::npos;
  if (kSide == Side::kRight) {
    HEADROOM_ASSIGN_OR_RETURN(at, FindLast(text, word.bytes(), runtime.allowance()));
  } else {
    HEADROOM_ASSIGN_OR_RETURN(at, Find(text, word.bytes(), 0, runtime.allowance()));
  }
  if (at == std::string::npos) {
    if (kMustExist) return absl::InvalidArgumentError("substring not found");
    return Value(int64_t{-1});
  }
  const auto length = static_cast<int64_t>(CountCharacters(self.bytes()));
  if (skipped < 0) skipped = std::max<int64_t>(0, skipped + length);
  return Value(skipped + static_cast<int64_t>(CountCharacters(std::string_view(text).substr(0, at))));
}

Result CountMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"sub"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText word, TextOr(given[0], "", "sub"));
  if (word.empty()) return Value(static_cast<int64_t>(CountCharacters(self.bytes())) + 1);
  int64_t count = 0;
  for (size_t from = 0;; ++count) {
    HEADROOM_ASSIGN_OR_RETURN(const size_t at, Find(self.bytes(), word.bytes(), from, runtime.allowance()));
    if (at == std::string::npos) return Value(count);
    from = at + word.size();
  }
}

std::string SwapCase(std::string_view text) {
  std::string swapped;
  for (size_t position = 0; position < text.size();) {
    const size_t begin = position;
    const bool upper = IsUpper(NextCodePoint(text, &position));
    const std::string_view character = text.substr(begin, position - begin);
    swapped += upper ? ToLower(character) : ToUpper(character);
  }
  return swapped;
}

template <Mapping kMapping>
Result MapMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, Map(self, kMapping, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

Result CapitalizeMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, Capitalized(self, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

// The first letter of each word in upper case, the others in lower.
Result TitleMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  bool in_word = false;
  const auto map = [&in_word](char32_t code_point, std::string_view character) {
    const bool was_in_word = std::exchange(in_word, IsUpper(code_point) || IsLower(code_point));
    return was_in_word ? ToLower(character) : ToTitle(character);
  };
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, MapCharacters(self, map, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

template <bool (*kIs)(char32_t)>
Result AllAre(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(self.size()));
  for (size_t position = 0; position < self.size();) {
    if (!kIs(NextCodePoint(self.bytes(), &position))) return Value(false);
  }
  return Value(!self.empty());
}

bool IsAlphaOrNumber(char32_t c) { return IsAlpha(c) || IsNumeric(c) || IsDigit(c); }

// isupper, islower: some letter is, and none is the other.
template <bool (*kIs)(char32_t), bool (*kOther)(char32_t)>
Result CaseIs(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(self.size()));
  bool some = false;
  for (size_t position = 0; position < self.size();) {
    const char32_t c = NextCodePoint(self.bytes(), &position);
    if (kOther(c)) return Value(false);
    some = some || kIs(c);
  }
  return Value(some);
}

template <Side kSide>
Result PadMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"width", "fillchar"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(given[0], 0, "width"));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText fill, TextOr(given[1], " ", "fillchar"));
  if (CountCharacters(fill.bytes()) != 1) return absl::InvalidArgumentError("fillchar must be one character");
  HEADROOM_ASSIGN_OR_RETURN(MarkedText text, Pad(self, width, fill, kSide, runtime.allowance()));
  return runtime.workspace.MakeText(std::move(text));
}

Result ZeroFill(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"width"}));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(given[0], 0, "width"));
  const bool sign = self.bytes().starts_with('-') || self.bytes().starts_with('+');
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText digits,
                            Pad(self.Cut(sign ? 1 : 0, self.size()), width - (sign ? 1 : 0),
                                MarkedText("0", Origin::kTemplate), Side::kLeft, runtime.allowance()));
  MarkedText filled = self.Cut(0, sign ? 1 : 0);
  filled.Append(digits);
  return runtime.workspace.MakeText(std::move(filled));
}

template <bool kPrefix>
Result RemoveMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"word"}));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText word, TextOr(given[0], "", "word"));
  const std::string& bytes = self.bytes();
  if (kPrefix && bytes.starts_with(word.bytes())) return runtime.workspace.MakeText(self.Cut(word.size(), self.size()));
  if (!kPrefix && bytes.ends_with(word.bytes()))
    return runtime.workspace.MakeText(self.Cut(0, self.size() - word.size()));
  return runtime.workspace.MakeText(self);
}

Result JoinMethod(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"iterable"}));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> parts, Elements(given[0], runtime.workspace));
  MarkedText joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].IsText()) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence item ", i, ": expected str instance, ", TypeName(parts[i]), " found"));
    }
    if (i > 0) joined.Append(self);
    joined.Append(parts[i].text());
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().WorkOnText(self.size() + parts[i].text().size()));
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(joined.size()));
  }
  return runtime.workspace.MakeText(std::move(joined));
}

}  // namespace

TextMethod FindTextMethod(std::string_view name) {
  static constexpr std::pair<std::string_view, TextMethod> kMethods[] = {{"strip", StripMethod<Side::kBoth>},
                                                                         {"lstrip", StripMethod<Side::kLeft>},
                                                                         {"rstrip", StripMethod<Side::kRight>},
                                                                         {"split", SplitMethod<Side::kLeft>},
                                                                         {"rsplit", SplitMethod<Side::kRight>},
                                                                         {"splitlines", SplitLinesMethod},
                                                                         {"partition", PartitionMethod<Side::kLeft>},
                                                                         {"rpartition", PartitionMethod<Side::kRight>},
                                                                         {"startswith", BeginsOrEnds<true>},
                                                                         {"endswith", BeginsOrEnds<false>},
                                                                         {"replace", ReplaceMethod},
                                                                         {"find", FindMethod<Side::kLeft, false>},
                                                                         {"rfind", FindMethod<Side::kRight, false>},
                                                                         {"index", FindMethod<Side::kLeft, true>},
                                                                         {"rindex", FindMethod<Side::kRight, true>},
                                                                         {"count", CountMethod},
                                                                         {"upper", MapMethod<ToUpper>},
                                                                         {"lower", MapMethod<ToLower>},
                                                                         {"casefold", MapMethod<ToLower>},
                                                                         {"capitalize", CapitalizeMethod},
                                                                         {"swapcase", MapMethod<SwapCase>},
                                                                         {"title", TitleMethod},
                                                                         {"isspace", AllAre<IsSpace>},
                                                                         {"isalpha", AllAre<IsAlpha>},
                                                                         {"isalnum", AllAre<IsAlphaOrNumber>},
                                                                         {"isdigit", AllAre<IsDigit>},
                                                                         {"isdecimal", AllAre<IsDecimal>},
                                                                         {"isnumeric", AllAre<IsNumeric>},
                                                                         {"isupper", CaseIs<IsUpper, IsLower>},
                                                                         {"islower", CaseIs<IsLower, IsUpper>},
                                                                         {"ljust", PadMethod<Side::kRight>},
                                                                         {"rjust", PadMethod<Side::kLeft>},
                                                                         {"center", PadMethod<Side::kBoth>},
                                                                         {"zfill", ZeroFill},
                                                                         {"removeprefix", RemoveMethod<true>},
                                                                         {"removesuffix", RemoveMethod<false>},
                                                                         {"join", JoinMethod},
                                                                         {"format", FormatBraces}};
  const auto* const found =
      std::find_if(std::begin(kMethods), std::end(kMethods), [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kMethods) ? nullptr : found->second;
}

}  // namespace headroom::model::jinja
