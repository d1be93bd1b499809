#include "model/structured/pattern_syntax.h"

#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

constexpr int kGroupDepthMax = 32;

CodePoints Digits() { return {{'0', '9'}}; }
CodePoints WordCharacters() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
CodePoints Spaces() {
  return {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
          {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
}
CodePoints LineEnds() { return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}; }
Regex AnyText() { return Regex::Repeat(Regex::Set(AllCodePoints()), 0, Rules::kUnbounded); }

// What the parser gives; anchors are still in it.
struct Node {
  enum class Kind : uint8_t { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kSequence;
  CodePoints set = {};
  std::vector<Node> parts = {};
  int64_t min = 0, max = 0;
};

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  absl::StatusOr<Node> Parse() {
    HEADROOM_ASSIGN_OR_RETURN(Node node, ParseChoice(0));
    if (at_ < text_.size()) return Error("unmatched )");
    return node;
  }

 private:
  absl::Status Error(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("pattern, byte ", at_, ": ", what));
  }
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  absl::StatusOr<Node> ParseChoice(int depth) {
    if (depth > kGroupDepthMax) return Error(absl::StrCat("groups nest deeper than ", kGroupDepthMax));
    Node choice{.kind = Node::Kind::kChoice};
    do {
      HEADROOM_ASSIGN_OR_RETURN(Node sequence, ParseSequence(depth));
      choice.parts.push_back(std::move(sequence));
    } while (Take('|'));
    if (choice.parts.size() == 1) return std::move(choice.parts[0]);
    return choice;
  }

  absl::StatusOr<Node> ParseSequence(int depth) {
    Node sequence;
    while (!AtEnd() && Peek() != '|' && Peek() != ')') {
      HEADROOM_ASSIGN_OR_RETURN(Node atom, ParseAtom(depth));
      HEADROOM_ASSIGN_OR_RETURN(atom, ParseQuantifiers(std::move(atom)));
      sequence.parts.push_back(std::move(atom));
    }
    return sequence;
  }

  absl::StatusOr<Node> ParseAtom(int depth) {
    if (Take('^')) return Node{.kind = Node::Kind::kBegin};
    if (Take('$')) return Node{.kind = Node::Kind::kEnd};
    if (Take('.')) return Node{.kind = Node::Kind::kSet, .set = Complement(LineEnds())};
    if (Take('(')) return ParseGroup(depth);
    if (Take('[')) return ParseClass();
    if (Take('\\')) {
      HEADROOM_ASSIGN_OR_RETURN(CodePoints set, ParseEscape(/*in_class=*/false));
      return Node{.kind = Node::Kind::kSet, .set = std::move(set)};
    }
    const char c = Peek();
    if (c == '*' || c == '+' || c == '?') return Error("nothing to repeat");
    const char32_t code = NextCodePoint(text_, &at_);
    return Node{.kind = Node::Kind::kSet, .set = {{code, code}}};
  }

  absl::StatusOr<Node> ParseGroup(int depth) {
    if (Take('?')) {
      if (Peek() == '<' && Peek(1) != '=' && Peek(1) != '!') {
        const size_t end = text_.find('>', at_);
        if (end == std::string::npos) return Error("name of a group without >");
        at_ = end + 1;
      } else if (!Take(':')) {
        return Error("look-around and flags are not supported");
      }
    }
    HEADROOM_ASSIGN_OR_RETURN(Node node, ParseChoice(depth + 1));
    if (!Take(')')) return Error("group without )");
    return node;
  }

  static bool IsAnchor(const Node& node) { return node.kind == Node::Kind::kBegin || node.kind == Node::Kind::kEnd; }

  absl::StatusOr<Node> ParseQuantifiers(Node atom) {
    int64_t min = 0, max = Rules::kUnbounded;
    if (Take('*')) {
    } else if (Take('+')) {
      min = 1;
    } else if (Take('?')) {
      max = 1;
    } else if (Peek() == '{' && Peek(1) >= '0' && Peek(1) <= '9') {
      ++at_;
      HEADROOM_ASSIGN_OR_RETURN(min, ParseCount());
      max = min;
      if (Take(',')) {
        max = Rules::kUnbounded;
        if (Peek() != '}') {
          HEADROOM_ASSIGN_OR_RETURN(max, ParseCount());
        }
      }
      if (!Take('}')) return Error("repetition without }");
      if (max != Rules::kUnbounded && max < min) return Error(absl::StrCat("repetition {", min, ",", max, "}"));
    } else {
      return atom;
    }
    Take('?');  // lazy: the same texts
    if (IsAnchor(atom)) return Error("repeated anchor");
    if (Peek() == '*' || Peek() == '+' || Peek() == '?') return Error("a quantifier behind another");
    Node repeat{.kind = Node::Kind::kRepeat, .min = min, .max = max};
    repeat.parts.push_back(std::move(atom));
    return repeat;
  }

  absl::StatusOr<int64_t> ParseCount() {
    int64_t count = 0;
    const size_t begin = at_;
    for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
      count = count * 10 + (Peek() - '0');
      if (count > kRepetitionMax) return Error(absl::StrCat("more than ", kRepetitionMax, " repetitions"));
    }
    if (at_ == begin) return Error("repetition without a number");
    return count;
  }

  absl::StatusOr<char32_t> ParseHex(size_t digits) {
    char32_t code = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char c = Peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Error("hexadecimal digit wanted");
      code = code * 16 + static_cast<char32_t>(digit);
    }
    return code;
  }

  // Behind a backslash.
  absl::StatusOr<CodePoints> ParseEscape(bool in_class) {
    if (AtEnd()) return Error("ends with a backslash");
    const char c = text_[at_++];
    const auto one = [](char32_t code) { return CodePoints{{code, code}}; };
    switch (c) {
      case 'd':
        return Digits();
      case 'D':
        return Complement(Digits());
      case 'w':
        return WordCharacters();
      case 'W':
        return Complement(WordCharacters());
      case 's':
        return Spaces();
      case 'S':
        return Complement(Spaces());
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'b':
        if (in_class) return one('\b');
        return Error("\\b is not supported");
      case 'x':
      case 'u': {
        HEADROOM_ASSIGN_OR_RETURN(const char32_t code, ParseHex(c == 'x' ? 2 : 4));
        if (code >= 0xD800 && code < 0xE000) return Error("surrogates are not supported");
        return one(code);
      }
      default:
        break;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      return Error(byte < 0x80 ? absl::StrCat("\\", std::string(1, c), " is not supported") : "unknown escape");
    }
    return one(static_cast<char32_t>(c));
  }

  // One member of a class: a code point, or what an escape stands for.
  absl::StatusOr<CodePoints> ParseClassMember() {
    if (AtEnd()) return Error("class without ]");
    if (Take('\\')) return ParseEscape(/*in_class=*/true);
    const char32_t code = NextCodePoint(text_, &at_);
    return CodePoints{{code, code}};
  }

  absl::StatusOr<Node> ParseClass() {
    const bool negated = Take('^');
    CodePoints set;
    while (!Take(']')) {
      HEADROOM_ASSIGN_OR_RETURN(const CodePoints first, ParseClassMember());
      const bool single = first.size() == 1 && first[0].first == first[0].last;
      if (single && Peek() == '-' && Peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        HEADROOM_ASSIGN_OR_RETURN(const CodePoints last, ParseClassMember());
        if (last.size() == 1 && last[0].first == last[0].last) {
          if (last[0].first < first[0].first) return Error("range of a class is backwards");
          set.push_back({first[0].first, last[0].first});
          continue;
        }
        set.push_back({'-', '-'});  // [a-\d]: three members
        set.insert(set.end(), last.begin(), last.end());
      }
      set.insert(set.end(), first.begin(), first.end());
    }
    set = Normalize(std::move(set));
    return Node{.kind = Node::Kind::kSet, .set = negated ? Complement(set) : set};
  }

  const std::string& text_;
  size_t at_ = 0;
};

absl::Status MisplacedAnchor() { return absl::InvalidArgumentError("pattern: ^ or $ in the middle is not supported"); }

// The tree without anchors. `open_left`: any text may stand before what matches, unless ^ forbids it.
absl::StatusOr<Regex> Anchor(const Node& node, bool open_left, bool open_right) {
  switch (node.kind) {
    case Node::Kind::kBegin:
    case Node::Kind::kEnd:
      return MisplacedAnchor();
    case Node::Kind::kChoice: {
      Regex choice = Regex::Choice({});
      for (const Node& part : node.parts) {
        HEADROOM_ASSIGN_OR_RETURN(Regex regex, Anchor(part, open_left, open_right));
        choice.parts.push_back(std::move(regex));
      }
      return choice;
    }
    case Node::Kind::kSequence: {
      size_t begin = 0, end = node.parts.size();
      bool left = open_left, right = open_right;
      while (begin < end && node.parts[begin].kind == Node::Kind::kBegin) {
        if (!open_left) return MisplacedAnchor();
        left = false;
        ++begin;
      }
      while (begin < end && node.parts[end - 1].kind == Node::Kind::kEnd) {
        if (!open_right) return MisplacedAnchor();
        right = false;
        --end;
      }
      Regex sequence;
      const auto grouped = [](const Node& part) {
        return part.kind == Node::Kind::kChoice || part.kind == Node::Kind::kSequence;
      };
      const bool left_inside = begin < end && grouped(node.parts[begin]);
      const bool right_inside = begin < end && grouped(node.parts[end - 1]);
      if (left && !left_inside) sequence.parts.push_back(AnyText());
      for (size_t i = begin; i < end; ++i) {
        HEADROOM_ASSIGN_OR_RETURN(Regex regex, Anchor(node.parts[i], left && left_inside && i == begin,
                                                      right && right_inside && i + 1 == end));
        sequence.parts.push_back(std::move(regex));
      }
      if (right && !right_inside && (begin < end || !left)) sequence.parts.push_back(AnyText());
      return sequence;
    }
    case Node::Kind::kSet:
    case Node::Kind::kRepeat:
      break;
  }
  Regex regex = node.kind == Node::Kind::kSet ? Regex::Set(node.set) : Regex::Repeat({}, node.min, node.max);
  if (node.kind == Node::Kind::kRepeat) {
    HEADROOM_ASSIGN_OR_RETURN(regex.parts[0], Anchor(node.parts[0], false, false));
  }
  if (!open_left && !open_right) return regex;
  Regex sequence;
  if (open_left) sequence.parts.push_back(AnyText());
  sequence.parts.push_back(std::move(regex));
  if (open_right) sequence.parts.push_back(AnyText());
  return sequence;
}

}  // namespace

Regex Regex::Text(const std::string& ascii) {
  Regex sequence;
  for (const char c : ascii) sequence.parts.push_back(Of(c));
  return sequence;
}

absl::StatusOr<Regex> ParsePattern(const std::string& pattern) {
  HEADROOM_ASSIGN_OR_RETURN(const Node node, Parser(pattern).Parse());
  return Anchor(node, /*open_left=*/true, /*open_right=*/true);
}

Rules::Expression JsonCharacter(const CodePoints& set, Rules& rules) {
  static const CodePoints plain = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0xD7FF}, {0xE000, kCodePointMax}};
  std::vector<Rules::Expression> options = {rules.Class(Intersect(set, plain))};
  for (const CodePointRange& range : Intersect(set, Complement(plain))) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      const char* escape = c == '"'    ? "\\\""
                           : c == '\\' ? "\\\\"
                           : c == '\b' ? "\\b"
                           : c == '\f' ? "\\f"
                           : c == '\n' ? "\\n"
                           : c == '\r' ? "\\r"
                           : c == '\t' ? "\\t"
                                       : nullptr;
      options.push_back(rules.Literal(escape != nullptr ? std::string(escape)
                                                        : absl::StrFormat("\\u%04x", static_cast<uint32_t>(c))));
    }
  }
  return rules.Choice(options);
}

Rules::Expression JsonCharacters(const Regex& regex, Rules& rules) {
  std::vector<Rules::Expression> parts;
  for (const Regex& part : regex.parts) parts.push_back(JsonCharacters(part, rules));
  switch (regex.kind) {
    case Regex::Kind::kSet:
      return JsonCharacter(regex.set, rules);
    case Regex::Kind::kSequence:
      return rules.Sequence(parts);
    case Regex::Kind::kChoice:
      return rules.Choice(parts);
    case Regex::Kind::kRepeat:
      return rules.Repeat(parts[0], regex.min, regex.max);
  }
  return Rules::Never();
}

}  // namespace headroom::model
