#include "model/text/regex_syntax.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

constexpr int kDepthMax = 32;
constexpr int kRepeatMax = 1000;
constexpr size_t kPatternBytesMax = 65536;

// Unicode White_Space and its complement, as items of a class.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Oniguruma counts the superscripts and fractions of Latin-1 as word characters, and no others.
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

constexpr std::array<std::string_view, 37> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cs", "Cn"};
constexpr std::array<std::string_view, 12> kScripts = {"Han",    "Hiragana", "Katakana",   "Hangul",
                                                       "Latin",  "Greek",    "Cyrillic",   "Arabic",
                                                       "Hebrew", "Thai",     "Devanagari", "Bopomofo"};

bool IsAsciiAlnum(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 && static_cast<unsigned char>(c) < 0x80;
}

void AppendLiteral(char32_t c, std::string* out) {
  if (c < 0x80 && !IsAsciiAlnum(static_cast<char>(c)) && c > 0x20) out->push_back('\\');
  AppendUtf8(c, out);
}

// An escape or a plain character: either one code point, or items of a class (possibly to be negated as a whole).
struct Item {
  std::optional<char32_t> literal;
  std::string items;
  bool negated = false;
};

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  absl::StatusOr<std::string> Run() {
    if (in_.size() > kPatternBytesMax) return Refuse("a pattern of this length");
    HEADROOM_RETURN_IF_ERROR(Alternatives(/*caseless=*/false, 0));
    if (position_ != in_.size()) return Refuse("an unmatched )");
    return out_;
  }

 private:
  absl::Status Refuse(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: the regular expression has ", what, " at byte ",
                                                   position_, ", which is not supported"));
  }

  bool AtEnd() const { return position_ == in_.size(); }
  char Peek(size_t ahead = 0) const { return position_ + ahead < in_.size() ? in_[position_ + ahead] : '\0'; }
  bool Take(std::string_view text) {
    if (in_.substr(position_, text.size()) != text) return false;
    position_ += text.size();
    return true;
  }

  absl::Status Alternatives(bool caseless, int depth) {
    if (depth > kDepthMax) return Refuse("groups nested this deep");
    last_caseless_ = 0;
    while (!AtEnd() && Peek() != ')') {
      if (Take("|")) {
        out_ += '|';
        last_caseless_ = 0;
        continue;
      }
      const size_t start = out_.size();
      bool repeatable = true;
      HEADROOM_RETURN_IF_ERROR(Atom(caseless, depth, &repeatable));
      HEADROOM_RETURN_IF_ERROR(Quantifier(start, repeatable));
    }
    last_caseless_ = 0;
    return absl::OkStatus();
  }

  absl::Status Atom(bool caseless, int depth, bool* repeatable) {
    const char c = Peek();
    if (c == '(') {
      last_caseless_ = 0;
      return Group(caseless, depth, repeatable);
    }
    if (c == '[') {
      last_caseless_ = 0;
      HEADROOM_ASSIGN_OR_RETURN(const std::string one, Class(caseless, 0));
      out_ += one;
      return absl::OkStatus();
    }
    if (c == '*' || c == '+' || c == '?' || c == '{') return Refuse("a repetition of nothing");
    if (c == '.' || c == '^' || c == '$') {
      last_caseless_ = 0;
      ++position_;
      out_ += c;
      *repeatable = c == '.';
      return absl::OkStatus();
    }
    if (c == '\\' && TakeAssertion()) {
      last_caseless_ = 0;
      *repeatable = false;
      return absl::OkStatus();
    }
    HEADROOM_ASSIGN_OR_RETURN(const Item item, TakeItem(caseless));
    if (item.literal.has_value()) {
      if (caseless) {
        HEADROOM_RETURN_IF_ERROR(CheckFolding(*item.literal));
      } else {
        last_caseless_ = 0;
      }
      AppendLiteral(*item.literal, &out_);
    } else {
      last_caseless_ = 0;
      const bool single = !item.negated && item.items.find('}') == item.items.size() - 1;
      absl::StrAppend(&out_, single ? "" : item.negated ? "[^" : "[", item.items, single ? "" : "]");
    }
    return absl::OkStatus();
  }

  bool TakeAssertion() {
    const std::string word = absl::StrCat("[", std::string(kWord), "]");
    if (Take("\\A")) {
      out_ += "\\A";
    } else if (Take("\\z")) {
      out_ += "\\z";
    } else if (Take("\\b")) {
      absl::StrAppend(&out_, "(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))");
    } else if (Take("\\B")) {
      absl::StrAppend(&out_, "(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))");
    } else {
      return false;
    }
    return true;
  }

  absl::Status Group(bool caseless, int depth, bool* repeatable) {
    if (Take("(?i:")) {
      out_ += "(?i:";
      caseless = true;
    } else if (Take("(?=") || Take("(?!")) {
      absl::StrAppend(&out_, "(?", std::string(1, in_[position_ - 1]));
      *repeatable = false;
    } else if (Take("(?<=") || Take("(?<!")) {
      absl::StrAppend(&out_, "(?<", std::string(1, in_[position_ - 1]));
      *repeatable = false;
    } else if (Take("(?:")) {
      out_ += "(?:";
    } else if (Take("(?>")) {
      out_ += "(?>";
    } else if (Peek(1) == '?' || Peek(1) == '*') {
      return Refuse("a group option");
    } else {
      ++position_;
      out_ += "(?:";
    }
    HEADROOM_RETURN_IF_ERROR(Alternatives(caseless, depth + 1));
    if (!Take(")")) return Refuse("an unclosed group");
    out_ += ')';
    return absl::OkStatus();
  }

  // One character or escape at the current place.
  absl::StatusOr<Item> TakeItem(bool caseless) {
    if (Peek() != '\\') return Item{NextCodePoint(in_, &position_), "", false};
    const char c = Peek(1);
    if (c == 'p' || c == 'P') return TakeProperty(caseless);
    const auto set = [&](std::string_view items, bool negated) {
      position_ += 2;
      return Item{std::nullopt, std::string(items), negated};
    };
    const auto literal = [&](char32_t value, size_t bytes) {
      position_ += bytes;
      return Item{value, "", false};
    };
    switch (c) {
      case 's':
        return set(kSpace, false);
      case 'S':
        return set(kNotSpace, false);
      case 'd':
        return set(R"(\p{Nd})", false);
      case 'D':
        return set(R"(\P{Nd})", false);
      case 'w':
        return set(kWord, false);
      case 'W':
        return set(kWord, true);
      case 'n':
        return literal('\n', 2);
      case 'r':
        return literal('\r', 2);
      case 't':
        return literal('\t', 2);
      case 'f':
        return literal('\f', 2);
      case 'v':
        return literal('\v', 2);
      case 'a':
        return literal('\a', 2);
      case 'e':
        return literal(0x1B, 2);
      case 'x': {
        int value = -1;
        const std::string_view digits = in_.substr(position_ + 2, 2);
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        // from_chars takes a minus as well.
        const bool ascii = value >= 0 && value < 0x80;
        if (digits.size() != 2 || parsed.ptr != digits.data() + 2 || !ascii) return Refuse("this \\x escape");
        return literal(static_cast<char32_t>(value), 4);
      }
      default:
        break;
    }
    if (c <= 0x20 || IsAsciiAlnum(c) || static_cast<unsigned char>(c) >= 0x80) return Refuse("this escape");
    return literal(static_cast<char32_t>(c), 2);
  }

  absl::StatusOr<Item> TakeProperty(bool caseless) {
    const size_t close = in_.find('}', position_);
    if (Peek(2) != '{' || close == std::string_view::npos) return Refuse("a \\p without {name}");
    const std::string_view name = in_.substr(position_ + 3, close - position_ - 3);
    const std::string start = absl::StrCat("\\", std::string(1, Peek(1)), "{");
    Item item;
    if (std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end()) {
      if (caseless && name.size() == 2 && name[0] == 'L') return Refuse("a letter case inside (?i:");
      item.items = absl::StrCat(start, std::string(name), "}");
    } else if (std::find(kScripts.begin(), kScripts.end(), name) != kScripts.end()) {
      item.items = absl::StrCat(start, "sc:", std::string(name), "}");
    } else {
      return Refuse("this \\p{name}");
    }
    position_ = close + 1;
    return item;
  }

  // What stands in a class between two &&: items that PCRE2 takes in one class, and classes of their own.
  struct Union {
    std::string items;
    std::vector<std::string> classes;

    // A pattern for one character of it; empty when nothing stands there.
    std::string Pattern() const {
      std::string pattern = items.empty() ? "" : absl::StrCat("[", items, "]");
      for (const std::string& other : classes) absl::StrAppend(&pattern, pattern.empty() ? "" : "|", other);
      return classes.size() + (items.empty() ? 0 : 1) > 1 ? absl::StrCat("(?:", pattern, ")") : pattern;
    }
  };

  // PCRE2 knows no classes inside a class and no intersection: the first become alternatives, the second lookaheads.
  absl::StatusOr<std::string> Class(bool caseless, int depth) {
    if (depth > kDepthMax) return Refuse("classes nested this deep");
    ++position_;
    const bool negated = Take("^");
    if (Peek() == ']') return Refuse("an empty class");
    std::string lookaheads;
    Union last;
    while (!Take("]")) {
      if (AtEnd()) return Refuse("an unclosed class");
      if (Peek() == '[') {
        if (Peek(1) == ':') return Refuse("a POSIX class");
        HEADROOM_ASSIGN_OR_RETURN(std::string inner, Class(caseless, depth + 1));
        last.classes.push_back(std::move(inner));
      } else if (Take("&&")) {
        if (last.Pattern().empty()) return Refuse("an intersection with nothing");
        absl::StrAppend(&lookaheads, "(?=", last.Pattern(), ")");
        last = Union();
      } else {
        HEADROOM_RETURN_IF_ERROR(ClassItem(caseless, &last));
      }
    }
    if (lookaheads.empty() && last.classes.empty()) return absl::StrCat(negated ? "[^" : "[", last.items, "]");
    if (last.Pattern().empty()) return Refuse("an intersection with nothing");
    const std::string one = absl::StrCat("(?:", lookaheads, last.Pattern(), ")");
    return negated ? absl::StrCat("(?:(?!", one, R"()[\x{0}-\x{10ffff}]))") : one;
  }

  absl::Status ClassItem(bool caseless, Union* to) {
    HEADROOM_ASSIGN_OR_RETURN(const Item low, TakeItem(caseless));
    if (caseless && low.literal.value_or(0) >= 0x80) return Refuse("a non-ASCII character inside (?i:");
    if (!low.literal.has_value()) {
      if (Peek() == '-' && Peek(1) != ']') return Refuse("a range that starts with a set");
      if (low.negated) {
        to->classes.push_back(absl::StrCat("[^", low.items, "]"));
      } else {
        to->items += low.items;
      }
      return absl::OkStatus();
    }
    AppendLiteral(*low.literal, &to->items);
    if (Peek() != '-' || Peek(1) == ']' || Peek(1) == '\0') return absl::OkStatus();
    ++position_;
    if (Peek() == '[') return Refuse("a range that ends with a class");
    HEADROOM_ASSIGN_OR_RETURN(const Item high, TakeItem(caseless));
    if (!high.literal.has_value() || *high.literal < *low.literal) return Refuse("this range");
    if (caseless && *high.literal >= 0x80) return Refuse("a non-ASCII character inside (?i:");
    to->items += '-';
    AppendLiteral(*high.literal, &to->items);
    return absl::OkStatus();
  }

  // Oniguruma folds some characters to two: ß to "ss", the ligatures to "st", "ff", "fi", "fl". PCRE2 does not.
  absl::Status CheckFolding(char32_t c) {
    if (c >= 0x80) return Refuse("a non-ASCII character inside (?i:");
    const char lower = static_cast<char>(std::tolower(static_cast<int>(c)));
    const bool folds = (last_caseless_ == 's' && (lower == 's' || lower == 't')) ||
                       (last_caseless_ == 'f' && (lower == 'f' || lower == 'i' || lower == 'l'));
    last_caseless_ = lower;
    return folds ? Refuse("letters that other characters fold to inside (?i:") : absl::OkStatus();
  }

  absl::Status Quantifier(size_t atom_start, bool repeatable) {
    const char c = Peek();
    if (AtEnd() || (c != '*' && c != '+' && c != '?' && c != '{')) return absl::OkStatus();
    if (!repeatable) return Refuse("a repetition of an assertion");
    last_caseless_ = 0;
    if (c == '{') {
      HEADROOM_RETURN_IF_ERROR(Interval(atom_start));
    } else {
      ++position_;
      out_ += c;
      if (Peek() == '?' || Peek() == '+') out_ += in_[position_++];
    }
    const char next = Peek();
    if (next == '*' || next == '+' || next == '?' || next == '{') return Refuse("a repetition of a repetition");
    return absl::OkStatus();
  }

  absl::Status Interval(size_t atom_start) {
    const size_t close = in_.find('}', position_);
    if (close == std::string_view::npos) return Refuse("an unclosed {");
    const std::string_view body = in_.substr(position_ + 1, close - position_ - 1);
    const size_t comma = body.find(',');
    const auto number = [](std::string_view digits) {
      int value = -1;
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      const bool whole = !digits.starts_with('-') && parsed.ptr == digits.data() + digits.size();
      return whole && value <= kRepeatMax ? value : -1;
    };
    const bool exact = comma == std::string_view::npos;
    const std::string_view low_text = exact ? body : body.substr(0, comma);
    const std::string_view high_text = exact ? body : body.substr(comma + 1);
    const int low = low_text.empty() && !high_text.empty() ? 0 : number(low_text);
    const int high = high_text.empty() ? kRepeatMax : number(high_text);
    if (low < 0 || high < low) return Refuse("this {…}");
    position_ = close + 1;
    absl::StrAppend(&out_, "{", low, ",", high_text.empty() ? std::string() : std::to_string(high), "}");
    if (Peek() == '?') {
      if (exact) return Refuse("{n}?");
      ++position_;
      out_ += '?';
    } else if (Take("+")) {
      out_.insert(atom_start, "(?:");
      out_ += ")+";
    }
    return absl::OkStatus();
  }

  std::string_view in_;
  size_t position_ = 0;
  std::string out_;
  char last_caseless_ = 0;  // previous character, when it was a literal inside (?i:
};

}  // namespace

absl::StatusOr<std::string> TranslateOniguruma(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace headroom::model
