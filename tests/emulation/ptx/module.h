// What a PTX text says, with scopes and registers resolved and nothing executed: the parser's result and the decoder's
// input.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/emulation/ptx/type.h"

namespace emulation::ptx {

struct Operand {
  enum class Kind {
    kRegister,    // index
    kInteger,     // value
    kFloat,       // value: the bits of 0f… (32) or 0d… (64), size in index
    kSymbol,      // name + value: variable, function, label or special register; what it is depends on the instruction
    kAddress,     // elements[0] is the base (register, symbol or integer), value the displacement
    kVector,      // elements
    kPair,        // elements[0] | elements[1]: destination and predicate
    kParameters,  // ( … ) of a call
    kSink,        // _
  };
  Kind kind = Kind::kSink;
  bool negated = false;  // !%p
  int index = 0;
  int64_t value = 0;
  std::string name;
  std::vector<Operand> elements;
};

// A place in a source file, from .loc. `file` indexes Module::files; line 0: unknown. Of a function that was inlined
// the place in its caller as well: the outermost one.
struct Location {
  int file = 0;
  int line = 0;
  int caller_file = 0;
  int caller_line = 0;
};

struct Statement {
  int guard = -1;  // index of the predicate register, -1: none
  bool guard_negated = false;
  std::vector<std::string_view> op;  // "ld.global.u32" → {"ld", "global", "u32"}
  std::vector<Operand> operands;
  Location location;
  int line = 0;   // of the PTX text
  int scope = 0;  // for labels: see Function::labels

  std::string Text() const;
  bool Has(std::string_view modifier) const;
};

enum class Space : uint8_t { kGeneric, kParam, kGlobal, kShared, kLocal, kConst };

struct Register {
  std::string name;
  Type type;
};

// A variable in memory. `bytes` is 0 for an extern array: dynamic shared memory.
struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  Type type = Type::kB8;
  int64_t alignment = 1;
  int64_t bytes = 0;
  bool external = false;
  std::vector<uint8_t> initial;  // empty: zeros
  // Pointers inside `initial`: the address of `symbol` + `addend` belongs at `offset`.
  struct Pointer {
    int64_t offset;
    std::string symbol;
    int64_t addend;
    bool generic;
  };
  std::vector<Pointer> pointers;
};

struct Function {
  std::string name;
  bool entry = false;
  bool defined = false;
  std::vector<Variable> parameters;
  std::vector<Variable> results;
  std::vector<Register> registers;
  std::vector<Variable>
      variables;  // .shared, .local and .param declared in the body; names are unique after the parser
  std::vector<Statement> statements;
  // Label of a scope → index of the statement that follows it. Inline assembly may use one name in several scopes.
  std::map<std::pair<int, std::string>, int> labels;
  std::vector<int> scope_parents;  // of each scope; -1 for the outermost, which is scope 0
  std::map<std::string, std::vector<std::string>> branch_targets;  // .branchtargets lists of brx.idx
  int max_threads = 0;                                             // .maxntid or .reqntid, 0: not bounded
  std::vector<int> required_threads;                               // .reqntid
};

struct Module {
  std::string text;  // what Statement::op points into
  int target = 0;    // .target sm_80 → 80
  std::map<int, std::string> files;
  std::vector<Variable> variables;
  std::vector<Function> functions;
};

}  // namespace emulation::ptx
