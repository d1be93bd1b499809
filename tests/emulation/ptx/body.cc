#include "tests/emulation/ptx/body.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace emulation::ptx {
namespace {

// Names that one pair of braces declares. Inline assembly and calls bring scopes of their own, and reuse names in them.
struct Scope {
  int id;
  std::map<std::string, int, std::less<>> registers;
  std::map<std::string, std::string, std::less<>> variables;  // as written → unique in the function
};

class BodyReader {
 public:
  BodyReader(Cursor& cursor, Function& function) : cursor_(cursor), function_(function) {}

  void Read() {
    cursor_.Expect("{");
    Open();
    while (!scopes_.empty()) {
      if (cursor_.AtEnd()) cursor_.Fail("the body of " + function_.name + " has no end");
      if (cursor_.Accept("{")) {
        Open();
      } else if (cursor_.Accept("}")) {
        scopes_.pop_back();
      } else if (!cursor_.Accept(";")) {
        ReadItem();
      }
    }
  }

 private:
  void Open() {
    function_.scope_parents.push_back(scopes_.empty() ? -1 : scopes_.back().id);
    scopes_.push_back({static_cast<int>(function_.scope_parents.size()) - 1, {}, {}});
  }

  void ReadItem() {
    if (cursor_.Peek(1).Is(":") && cursor_.Peek().kind == Token::Kind::kWord) return ReadLabel();
    if (cursor_.Peek().text[0] == '.') return ReadDirective();
    ReadStatement();
  }

  void ReadLabel() {
    const std::string name(cursor_.Word());
    cursor_.Expect(":");
    if (cursor_.Accept(".branchtargets")) {
      std::vector<std::string>& targets = function_.branch_targets[name];
      do {
        targets.emplace_back(cursor_.Word());
      } while (cursor_.Accept(","));
      cursor_.Expect(";");
    } else if (cursor_.Accept(".callprototype")) {
      while (!cursor_.Accept(";")) cursor_.Next();
    } else {
      function_.labels[{scopes_.back().id, name}] = static_cast<int>(function_.statements.size());
    }
  }

  void ReadDirective() {
    const std::string_view word = cursor_.Word();
    if (word == ".reg") return ReadRegisters();
    if (word == ".loc") return ReadLocation();
    const Space space = word == ".shared" ? Space::kShared : word == ".local" ? Space::kLocal : Space::kParam;
    if (word == ".shared" || word == ".local" || word == ".param") {
      do {
        Variable variable = ReadVariable(cursor_, space);
        std::string& unique = scopes_.back().variables[variable.name];
        unique = variable.name;
        for (const Variable& other : function_.variables) {
          if (other.name == unique) unique = variable.name + "#" + std::to_string(function_.variables.size());
        }
        variable.name = unique;
        function_.variables.push_back(std::move(variable));
      } while (cursor_.Accept(","));
      cursor_.Expect(";");
    } else if (word == ".pragma") {
      while (!cursor_.Accept(";")) cursor_.Next();
    } else {
      cursor_.Fail("directive " + std::string(word) + " is not known");
    }
  }

  void ReadRegisters() {
    const std::string_view type_name = cursor_.Word().substr(1);
    const Type type = TypeFromName(type_name);
    if (type == Type::kNone) cursor_.Fail("register type " + std::string(type_name) + " is not known");
    do {
      const std::string name(cursor_.Word());
      if (!cursor_.Accept("<")) {
        Declare(name, type);
        continue;
      }
      const int64_t count = cursor_.Integer();
      cursor_.Expect(">");
      for (int64_t i = 0; i < count; i++) Declare(name + std::to_string(i), type);
    } while (cursor_.Accept(","));
    cursor_.Expect(";");
  }

  void Declare(const std::string& name, Type type) {
    scopes_.back().registers[name] = static_cast<int>(function_.registers.size());
    function_.registers.push_back({name, type});
  }

  // .loc FILE LINE COLUMN[, function_name LABEL, inlined_at FILE LINE COLUMN]. Where it was inlined at may have been
  // inlined itself, as an earlier .loc of that place has said.
  void ReadLocation() {
    const std::vector<Token> rest = cursor_.RestOfLine();
    if (rest.size() < 3) cursor_.Fail(".loc needs a file, a line and a column");
    const auto place = [&](size_t at) {
      return std::array<int64_t, 3>{ToInteger(rest[at].text), ToInteger(rest[at + 1].text),
                                    ToInteger(rest[at + 2].text)};
    };
    Location location{static_cast<int>(place(0)[0]), static_cast<int>(place(0)[1])};
    const auto inlined = std::find_if(rest.begin(), rest.end(), [](const Token& t) { return t.Is("inlined_at"); });
    if (const size_t at = inlined - rest.begin() + 1; at + 3 <= rest.size()) {
      const auto outer = callers_.find(place(at));
      const std::array<int64_t, 3> caller = outer == callers_.end() ? place(at) : outer->second;
      location.caller_file = static_cast<int>(caller[0]);
      location.caller_line = static_cast<int>(caller[1]);
      callers_[place(0)] = caller;
    }
    // Line 0 says that no source line belongs to what follows; the last one is then the best that is known.
    if (location.line > 0) location_ = location;
  }

  void ReadStatement() {
    Statement statement;
    statement.line = cursor_.Peek().line;
    statement.location = location_;
    statement.scope = scopes_.back().id;
    if (cursor_.Accept("@")) {
      const Operand guard = ReadOperand();
      if (guard.kind != Operand::Kind::kRegister) cursor_.Fail("the guard is no register");
      statement.guard = guard.index;
      statement.guard_negated = guard.negated;
    }
    statement.op = SplitDots(cursor_.Word());
    while (!cursor_.Accept(";")) {
      statement.operands.push_back(ReadOperand());
      if (!cursor_.Peek().Is(";")) cursor_.Expect(",");
    }
    function_.statements.push_back(std::move(statement));
  }

  std::vector<Operand> ReadList(std::string_view end) {
    std::vector<Operand> list;
    while (!cursor_.Accept(end)) {
      list.push_back(ReadOperand());
      if (!cursor_.Peek().Is(end)) cursor_.Expect(",");
    }
    return list;
  }

  Operand ReadOperand() {
    Operand operand;
    if (cursor_.Accept("{")) {
      operand.kind = Operand::Kind::kVector;
      operand.elements = ReadList("}");
    } else if (cursor_.Accept("(")) {
      operand.kind = Operand::Kind::kParameters;
      operand.elements = ReadList(")");
    } else if (cursor_.Accept("[")) {
      operand.kind = Operand::Kind::kAddress;
      operand.elements.push_back(ReadOperand());
      // A number as base is an absolute address and stays one; what follows a register or symbol is the displacement.
      Operand& base = operand.elements[0];
      if (base.kind != Operand::Kind::kInteger) operand.value = std::exchange(base.value, 0);
      cursor_.Expect("]");
    } else {
      operand = ReadName();
      if (cursor_.Accept("|")) {
        Operand pair;
        pair.kind = Operand::Kind::kPair;
        pair.elements = {std::move(operand), ReadName()};
        return pair;
      }
    }
    return operand;
  }

  // Register, number or symbol, with an optional "+ displacement".
  Operand ReadName() {
    Operand operand;
    operand.negated = cursor_.Accept("!");
    const bool negative = cursor_.Accept("-");
    const std::string_view word = cursor_.Word();
    if (IsFloat(word)) {
      operand.kind = Operand::Kind::kFloat;
      operand.index = word.size() == 10 ? 4 : 8;
      operand.value = ToInteger(word);
    } else if (IsInteger(word)) {
      operand.kind = Operand::Kind::kInteger;
      operand.value = negative ? -ToInteger(word) : ToInteger(word);
    } else if (word != "_") {
      Resolve(word, operand);
      if (cursor_.Accept("+")) operand.value = cursor_.Integer();
      if (cursor_.Peek().Is("-")) operand.value = cursor_.Integer();
    }
    return operand;
  }

  void Resolve(std::string_view word, Operand& operand) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto it = scope->registers.find(word); it != scope->registers.end()) {
        operand.kind = Operand::Kind::kRegister;
        operand.index = it->second;
        return;
      }
      if (const auto it = scope->variables.find(word); it != scope->variables.end()) {
        operand.kind = Operand::Kind::kSymbol;
        operand.name = it->second;
        return;
      }
    }
    operand.kind = Operand::Kind::kSymbol;
    operand.name = word;
  }

  Cursor& cursor_;
  Function& function_;
  std::vector<Scope> scopes_;
  Location location_;
  std::map<std::array<int64_t, 3>, std::array<int64_t, 3>> callers_;  // file, line, column of an inlined place
};

}  // namespace

void ReadBody(Cursor& cursor, Function& function) { BodyReader(cursor, function).Read(); }

}  // namespace emulation::ptx
