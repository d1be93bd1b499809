#include "tests/emulation/ptx/parser.h"

#include <algorithm>
#include <cstdlib>

#include "tests/emulation/ptx/body.h"
#include "tests/emulation/ptx/cursor.h"
#include "tests/emulation/ptx/error.h"

namespace emulation::ptx {
namespace {

std::vector<Variable> ReadParameters(Cursor& cursor) {
  std::vector<Variable> parameters;
  while (!cursor.Accept(")")) {
    // A .func may pass in registers by the grammar; nvcc never does.
    cursor.Expect(".param");
    parameters.push_back(ReadVariable(cursor, Space::kParam));
    if (!cursor.Peek().Is(")")) cursor.Expect(",");
  }
  return parameters;
}

// .maxntid 128, 1, 1 and its kin: up to three numbers.
std::vector<int> ReadDimensions(Cursor& cursor) {
  std::vector<int> numbers;
  do {
    numbers.push_back(static_cast<int>(cursor.Integer()));
  } while (cursor.Accept(","));
  return numbers;
}

int Product(const std::vector<int>& numbers) {
  int product = 1;
  for (const int n : numbers) product *= n;
  return product;
}

Function ReadFunction(Cursor& cursor, bool entry) {
  Function function;
  function.entry = entry;
  if (cursor.Accept("(")) function.results = ReadParameters(cursor);
  function.name = cursor.Word();
  if (cursor.Accept("(")) function.parameters = ReadParameters(cursor);
  while (!cursor.Peek().Is("{") && !cursor.Peek().Is(";")) {
    const std::string_view word = cursor.Word();
    if (word == ".maxntid") {
      function.max_threads = Product(ReadDimensions(cursor));
    } else if (word == ".reqntid") {
      function.required_threads = ReadDimensions(cursor);
      function.max_threads = Product(function.required_threads);
    } else if (word == ".minnctapersm" || word == ".maxnctapersm" || word == ".maxnreg") {
      ReadDimensions(cursor);
    } else if (word == ".pragma") {
      while (!cursor.Accept(";")) cursor.Next();
    } else if (word != ".noreturn" && word != ".attribute") {
      cursor.Fail("directive " + std::string(word) + " of a function is not known");
    }
  }
  if (cursor.Accept(";")) return function;
  function.defined = true;
  ReadBody(cursor, function);
  return function;
}

class ModuleReader {
 public:
  explicit ModuleReader(Module& module) : module_(module), cursor_(Tokenize(module.text)) {}

  void Read() {
    while (!cursor_.AtEnd()) ReadItem();
  }

 private:
  void ReadItem() {
    const std::string_view word = cursor_.Word();
    if (word == ".version" || word == ".address_size") {
      cursor_.RestOfLine();
    } else if (word == ".target") {
      const std::vector<Token> rest = cursor_.RestOfLine();
      if (rest.empty() || rest[0].text.substr(0, 3) != "sm_") cursor_.Fail(".target needs sm_NN");
      module_.target = std::atoi(std::string(rest[0].text.substr(3)).c_str());
    } else if (word == ".file") {
      const std::vector<Token> rest = cursor_.RestOfLine();
      if (rest.size() < 2) cursor_.Fail(".file needs a number and a name");
      module_.files[static_cast<int>(ToInteger(rest[0].text))] = rest[1].text;
    } else if (word == ".section") {
      cursor_.Word();
      cursor_.SkipBraces();
    } else if (word == ".visible" || word == ".weak" || word == ".common") {
      // Linkage: one module is one program here.
    } else if (word == ".extern") {
      external_ = true;
    } else if (word == ".entry" || word == ".func") {
      Add(ReadFunction(cursor_, word == ".entry"));
    } else {
      ReadVariables(word);
    }
  }

  void Add(Function function) {
    external_ = false;
    const auto same = std::find_if(module_.functions.begin(), module_.functions.end(),
                                   [&](const Function& other) { return other.name == function.name; });
    if (same == module_.functions.end()) {
      module_.functions.push_back(std::move(function));
    } else if (function.defined) {
      *same = std::move(function);  // after its prototype
    }
  }

  void ReadVariables(std::string_view space_name) {
    const Space space = space_name == ".global"  ? Space::kGlobal
                        : space_name == ".const" ? Space::kConst
                                                 : Space::kShared;
    if (space == Space::kShared && space_name != ".shared")
      cursor_.Fail("directive " + std::string(space_name) + " is not known");
    do {
      Variable variable = ReadVariable(cursor_, space);
      variable.external = external_;
      module_.variables.push_back(std::move(variable));
    } while (cursor_.Accept(","));
    cursor_.Expect(";");
    external_ = false;
  }

  Module& module_;
  Cursor cursor_;
  bool external_ = false;
};

}  // namespace

std::string Statement::Text() const {
  std::string text;
  for (const std::string_view part : op) text += (text.empty() ? "" : ".") + std::string(part);
  return text;
}

bool Statement::Has(std::string_view modifier) const {
  return std::find(op.begin() + 1, op.end(), modifier) != op.end();
}

std::unique_ptr<Module> Parse(std::string text) {
  auto module = std::make_unique<Module>();
  // What the fat binary holds ends with a zero byte.
  module->text = std::move(text);
  module->text.resize(std::min(module->text.size(), module->text.find('\0')));
  ModuleReader(*module).Read();
  return module;
}

}  // namespace emulation::ptx
