#include "tests/emulation/machine/decoder.h"

#include <algorithm>
#include <cstring>

#include "tests/emulation/machine/opcodes.h"
#include "tests/emulation/ptx/error.h"

namespace emulation {
namespace {

using Kind = ptx::Operand::Kind;

constexpr uint32_t kSinkBytes = kLanes * 16;

uint32_t AlignUp(uint32_t value, int64_t alignment) {
  const auto a = static_cast<uint32_t>(std::max<int64_t>(alignment, 1));
  return (value + a - 1) / a * a;
}

struct SpecialName {
  std::string_view name;
  Special which;
};
constexpr SpecialName kSpecials[] = {
    {"%tid.x", Special::kTidX},
    {"%tid.y", Special::kTidY},
    {"%tid.z", Special::kTidZ},
    {"%ntid.x", Special::kNtidX},
    {"%ntid.y", Special::kNtidY},
    {"%ntid.z", Special::kNtidZ},
    {"%ctaid.x", Special::kCtaidX},
    {"%ctaid.y", Special::kCtaidY},
    {"%ctaid.z", Special::kCtaidZ},
    {"%nctaid.x", Special::kNctaidX},
    {"%nctaid.y", Special::kNctaidY},
    {"%nctaid.z", Special::kNctaidZ},
    {"%laneid", Special::kLaneId},
    {"%warpid", Special::kWarpId},
    {"%nwarpid", Special::kNWarpId},
    {"%smid", Special::kSmId},
    {"%nsmid", Special::kNSmId},
    {"%gridid", Special::kGridId},
    {"%lanemask_eq", Special::kLaneMaskEq},
    {"%lanemask_lt", Special::kLaneMaskLt},
    {"%lanemask_le", Special::kLaneMaskLe},
    {"%lanemask_gt", Special::kLaneMaskGt},
    {"%lanemask_ge", Special::kLaneMaskGe},
    {"%dynamic_smem_size", Special::kDynamicSharedBytes},
    {"%total_smem_size", Special::kTotalSharedBytes},
    {"%envreg1", Special::kGridWorkspaceHigh},
    {"%envreg2", Special::kGridWorkspaceLow},
    // Clusters of one block: all that the emulated device launches.
    {"%cluster_ctarank", Special::kZero},
    {"%cluster_nctarank", Special::kOne},
};

}  // namespace

Decoder::Decoder(const ptx::Module& module, const ptx::Function& source, const ModuleSymbols& symbols, Program& program,
                 Function& function)
    : module_(module), source_(source), symbols_(symbols), program_(program), function_(function) {
  function_.registers.resize(kSinkBytes);
}

Reg Decoder::Allocate(int bytes) {
  const Reg reg = AlignUp(static_cast<uint32_t>(function_.registers.size()), 64);
  function_.registers.resize(reg + bytes);
  return reg;
}

void Decoder::PlaceVariables() {
  for (const ptx::Variable& variable : source_.variables) {
    uint32_t& end = variable.space == ptx::Space::kShared ? function_.shared_bytes : function_.local_bytes;
    end = AlignUp(end, variable.alignment);
    (variable.space == ptx::Space::kShared ? shared_ : local_)[variable.name] = end;
    end += static_cast<uint32_t>(variable.bytes);
  }
  // Blocks of lanes follow each other in local memory; each begins aligned.
  function_.local_bytes = AlignUp(function_.local_bytes, 16);
}

void Decoder::Decode() {
  PlaceVariables();
  for (const ptx::Register& reg : source_.registers) {
    registers_.push_back(Allocate(reg.type == ptx::Type::kPred ? sizeof(Mask) : kLanes * ptx::SizeOf(reg.type)));
  }
  function_.begin = static_cast<int>(program_.code.size());
  for (size_t i = 0; i < source_.statements.size(); i++) DecodeStatement(static_cast<int>(i));
  // A body may end without ret.
  Instruction end;
  end.flow = Flow::kReturn;
  end.statement = static_cast<int>(program_.places.size());
  program_.code.push_back(end);
  program_.places.push_back(program_.places.empty() ? Place() : program_.places.back());
  program_.places.back().text = "end";
}

void Decoder::DecodeStatement(int index) {
  statement_ = &source_.statements[index];
  Instruction i;
  i.statement = static_cast<int>(program_.places.size());
  program_.places.push_back(
      {statement_->location, statement_->line, program_.function_index.at(function_.name), statement_->Text()});
  if (statement_->guard >= 0) {
    i.guarded = true;
    i.guard = registers_[statement_->guard];
    i.guard_negated = statement_->guard_negated;
  }
  const Opcode* opcode = FindOpcode(statement_->op[0]);
  if (opcode == nullptr) Fail("unknown opcode");
  opcode->decode(*this, i);
  if (i.run == nullptr && (i.flow == Flow::kNext || i.flow == Flow::kConverge))
    Fail("modifiers or types are not emulated");
  program_.code.push_back(i);
}

const ptx::Operand& Decoder::operand(size_t i) const {
  if (i >= statement_->operands.size()) Fail("operand " + std::to_string(i) + " is missing");
  return statement_->operands[i];
}

ptx::Type Decoder::TypeAt(size_t from_end) const {
  const std::vector<std::string_view>& op = statement_->op;
  return from_end + 1 < op.size() ? ptx::TypeFromName(op[op.size() - 1 - from_end]) : ptx::Type::kNone;
}

Reg Decoder::Destination(const ptx::Operand& operand) {
  if (operand.kind == Kind::kSink) return 0;
  if (operand.kind != Kind::kRegister) Fail("the destination is no register");
  return registers_[operand.index];
}

int Decoder::WidthOf(const ptx::Operand& operand) const {
  return operand.kind == Kind::kRegister ? ptx::SizeOf(source_.registers[operand.index].type) : 0;
}

bool Decoder::IsPredicate(const ptx::Operand& operand) const {
  return operand.kind == Kind::kRegister && source_.registers[operand.index].type == ptx::Type::kPred;
}

Reg Decoder::Source(const ptx::Operand& operand, int bytes) {
  switch (operand.kind) {
    case Kind::kRegister:
      return registers_[operand.index];
    case Kind::kInteger:
      return Constant(static_cast<uint64_t>(operand.value), bytes);
    case Kind::kFloat:
      if (operand.index != bytes) Fail("a floating-point immediate of another size");
      return Constant(static_cast<uint64_t>(operand.value), bytes);
    case Kind::kSymbol:
      return Symbol(operand, bytes);
    default:
      Fail("an operand of a kind that does not fit");
  }
}

Reg Decoder::Symbol(const ptx::Operand& operand, int bytes) {
  for (const SpecialName& special : kSpecials) {
    if (special.name == operand.name) return SpecialRegister(special.which, bytes);
  }
  const std::string& name = operand.name;
  if (const auto it = shared_.find(name); it != shared_.end()) return Constant(it->second + operand.value, bytes);
  if (const auto it = symbols_.shared.find(name); it != symbols_.shared.end())
    return Constant(it->second + operand.value, bytes);
  if (symbols_.dynamic_shared.contains(name)) return SpecialRegister(Special::kDynamicShared, bytes, operand.value);
  if (const auto it = local_.find(name); it != local_.end()) {
    return SpecialRegister(Special::kLocalBase, bytes, it->second + operand.value);
  }
  if (const auto it = symbols_.addresses.find(name); it != symbols_.addresses.end()) {
    return Constant(it->second + operand.value, bytes);
  }
  for (const Function::Parameter& parameter : function_.parameters) {
    if (parameter.name != name) continue;
    if (function_.entry) return Constant(kParameterWindow + parameter.offset + operand.value, bytes);
    return SpecialRegister(Special::kLocalBase, bytes, parameter.offset + operand.value);
  }
  if (const auto it = program_.function_index.find(name); it != program_.function_index.end()) {
    return Constant(kFunctionWindow + it->second, bytes);
  }
  Fail("'" + name + "' is not known");
}

Reg Decoder::Constant(uint64_t value, int bytes) {
  if (bytes < 8) value &= (1ull << (bytes * 8)) - 1;
  const auto [it, fresh] = constants_.try_emplace({value, bytes}, 0);
  if (!fresh) return it->second;
  it->second = Allocate(kLanes * bytes);
  for (int lane = 0; lane < kLanes; lane++) {
    memcpy(function_.registers.data() + it->second + static_cast<size_t>(lane) * bytes, &value, std::min(bytes, 8));
  }
  return it->second;
}

Reg Decoder::SpecialRegister(Special which, int bytes, int64_t value) {
  if (bytes != 4 && bytes != 8) Fail("a special register of " + std::to_string(bytes) + " bytes");
  // Value and size make the key: one register may be read in both sizes.
  const auto [it, fresh] = special_registers_.try_emplace({static_cast<int>(which) * 16 + bytes, value}, 0);
  if (fresh) {
    it->second = Allocate(kLanes * bytes);
    function_.specials.push_back({which, it->second, static_cast<uint8_t>(bytes), value});
  }
  return it->second;
}

Reg Decoder::PredicateSource(const ptx::Operand& operand, bool& negated) {
  negated = operand.negated;
  if (operand.kind == Kind::kInteger) {  // setp and vote take literal truth values
    const Reg reg = Allocate(sizeof(Mask));
    const Mask mask = operand.value != 0 ? kAllLanes : 0;
    memcpy(function_.registers.data() + reg, &mask, sizeof mask);
    return reg;
  }
  if (!IsPredicate(operand)) Fail("no predicate");
  return registers_[operand.index];
}

const Reg* Decoder::List(const std::vector<ptx::Operand>& elements, int bytes) {
  std::vector<Reg> list;
  for (const ptx::Operand& element : elements) list.push_back(element.kind == Kind::kSink ? 0 : Source(element, bytes));
  program_.lists.push_back(std::move(list));
  return program_.lists.back().data();
}

void Decoder::Address(const ptx::Operand& operand, Instruction& i) {
  if (operand.kind != Kind::kAddress) Fail("no address");
  const ptx::Operand& base = operand.elements[0];
  i.value = operand.value;
  i.wide = base.kind != Kind::kRegister || WidthOf(base) == 8;
  i.a = Source(base, 8);
}

int Decoder::Label(const ptx::Operand& operand) {
  if (operand.kind != Kind::kSymbol) Fail("no label");
  for (int scope = statement_->scope; scope >= 0; scope = source_.scope_parents[scope]) {
    const auto it = source_.labels.find({scope, operand.name});
    if (it != source_.labels.end()) return function_.begin + it->second;
  }
  Fail("label '" + operand.name + "' is not known");
}

uint32_t Decoder::LocalOffset(const std::string& name) const {
  if (const auto it = local_.find(name); it != local_.end()) return it->second;
  for (const auto* list : {&function_.parameters, &function_.results}) {
    for (const Function::Parameter& parameter : *list) {
      if (parameter.name == name) return parameter.offset;
    }
  }
  Fail("parameter '" + name + "' is not known");
}

uint32_t Decoder::ParameterOffset(const ptx::Operand& address, bool& local) const {
  if (address.kind != Kind::kAddress || address.elements[0].kind != Kind::kSymbol) Fail("no parameter");
  const std::string& name = address.elements[0].name;
  local = !function_.entry || local_.contains(name);
  return LocalOffset(name) + static_cast<uint32_t>(address.value);
}

void Decoder::Fail(const std::string& what) const {
  throw ptx::Error("PTX line " + std::to_string(statement_->line) + ": " + statement_->Text() + " in " + source_.name +
                   ": " + what);
}

}  // namespace emulation
