// Operations of one destination and one to three sources. The type of an opcode is its last word.
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// Bytes of source `k`: shifts count in 32 bits whatever they shift, and mad.wide adds to the wide product.
int SourceBytes(const Decoder& d, std::string_view name, size_t k, int bytes) {
  if ((name == "shl" || name == "shr") && k == 1) return 4;
  if (name == "mad" && d.Has("wide") && k == 2) return bytes * 2;
  return bytes;
}

enum PredicateOp : uint8_t { kAnd, kOr, kXor, kNot };

void PredicateLogic(Warp& w, const Instruction& i, Mask mask) {
  const Mask a = i.flags & 1 ? ~Predicate(w, i.a) : Predicate(w, i.a);
  const Mask b = i.flags & 2 ? ~Predicate(w, i.b) : Predicate(w, i.b);
  const Mask value = i.mode == kAnd ? a & b : i.mode == kOr ? a | b : i.mode == kXor ? a ^ b : ~a;
  SetPredicate(w, i.dst, mask, value);
}

void DecodePredicateLogic(Decoder& d, Instruction& i, std::string_view name) {
  bool negated = false;
  i.dst = d.Destination(d.operand(0));
  i.a = d.PredicateSource(d.operand(1), negated);
  i.flags = negated ? 1 : 0;
  i.mode = name == "and" ? kAnd : name == "or" ? kOr : name == "xor" ? kXor : kNot;
  if (name != "not") {
    i.b = d.PredicateSource(d.operand(2), negated);
    if (negated) i.flags |= 2;
  }
  i.run = PredicateLogic;
}

}  // namespace

void DecodeArithmetic(Decoder& d, Instruction& i) {
  const std::string_view name = d.statement().op[0];
  const ptx::Type type = d.TypeAt();
  if (type == ptx::Type::kPred) return DecodePredicateLogic(d, i, name);
  const int bytes = ptx::SizeOf(type);
  if (bytes == 0) d.Fail("the type is missing");
  i.dst = d.Destination(d.operand(0));
  Reg* const sources[] = {&i.a, &i.b, &i.c};
  for (size_t k = 1; k < d.operands() && k <= 3; k++)
    *sources[k - 1] = d.Source(d.operand(k), SourceBytes(d, name, k - 1, bytes));
  if (name == "addc" || name == "subc" || name == "madc") i.flags |= kReadsCarry;
  if (d.Has("cc")) i.flags |= kWritesCarry;
  for (auto* select : {CarryHandler, IntegerHandler, BitHandler, RoundedHandler, FloatHandler, HalfHandler}) {
    i.run = select(d, name, type);
    if (i.run != nullptr) return;
  }
}

}  // namespace emulation
