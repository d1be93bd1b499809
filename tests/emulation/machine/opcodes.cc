#include "tests/emulation/machine/opcodes.h"

#include <unordered_map>

#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

constexpr Opcode kOpcodes[] = {
    // Arithmetic, in every type that the opcode has
    {"abs", DecodeArithmetic},
    {"add", DecodeArithmetic},
    {"addc", DecodeArithmetic},
    {"copysign", DecodeArithmetic},
    {"cos", DecodeArithmetic},
    {"div", DecodeArithmetic},
    {"ex2", DecodeArithmetic},
    {"fma", DecodeArithmetic},
    {"lg2", DecodeArithmetic},
    {"mad", DecodeArithmetic},
    {"mad24", DecodeArithmetic},
    {"madc", DecodeArithmetic},
    {"max", DecodeArithmetic},
    {"min", DecodeArithmetic},
    {"mul", DecodeArithmetic},
    {"mul24", DecodeArithmetic},
    {"neg", DecodeArithmetic},
    {"rcp", DecodeArithmetic},
    {"rem", DecodeArithmetic},
    {"rsqrt", DecodeArithmetic},
    {"sad", DecodeArithmetic},
    {"sin", DecodeArithmetic},
    {"sqrt", DecodeArithmetic},
    {"sub", DecodeArithmetic},
    {"subc", DecodeArithmetic},
    {"tanh", DecodeArithmetic},
    {"dp2a", DecodeDot},
    {"dp4a", DecodeDot},
    // Bits
    {"and", DecodeArithmetic},
    {"bfe", DecodeBitField},
    {"bfi", DecodeBitField},
    {"bfind", DecodeArithmetic},
    {"bmsk", DecodeBmsk},
    {"brev", DecodeArithmetic},
    {"clz", DecodeArithmetic},
    {"cnot", DecodeArithmetic},
    {"lop3", DecodeLop3},
    {"not", DecodeArithmetic},
    {"or", DecodeArithmetic},
    {"popc", DecodeArithmetic},
    {"prmt", DecodePrmt},
    {"shf", DecodeShf},
    {"shl", DecodeArithmetic},
    {"shr", DecodeArithmetic},
    {"szext", DecodeSzext},
    {"xor", DecodeArithmetic},
    // Comparison and selection
    {"selp", DecodeSelp},
    {"set", DecodeSet},
    {"setp", DecodeSetp},
    {"slct", DecodeSlct},
    {"testp", DecodeTestp},
    // Movement and conversion
    {"cvt", DecodeCvt},
    {"cvta", DecodeCvta},
    {"isspacep", DecodeIsspacep},
    {"mov", DecodeMov},
    // Memory
    {"atom", DecodeAtom},
    {"applypriority", DecodePrefetch},
    {"discard", DecodePrefetch},
    {"fence", DecodeFence},
    {"ld", DecodeLd},
    {"ldu", DecodeLd},
    {"membar", DecodeFence},
    {"prefetch", DecodePrefetch},
    {"prefetchu", DecodePrefetch},
    {"red", DecodeAtom},
    {"st", DecodeSt},
    // Warp
    {"activemask", DecodeActivemask},
    {"elect", DecodeElect},
    {"match", DecodeMatch},
    {"redux", DecodeRedux},
    {"shfl", DecodeShfl},
    {"vote", DecodeVote},
    // Matrices
    {"ldmatrix", DecodeLdmatrix},
    {"mma", DecodeMma},
    {"movmatrix", DecodeMovmatrix},
    {"stmatrix", DecodeStmatrix},
    // Asynchronous copies and barriers
    {"bar", DecodeBar},
    {"barrier", DecodeBar},
    {"cp", DecodeCp},
    {"mbarrier", DecodeMbarrier},
    // Control
    {"bra", DecodeBra},
    {"brkpt", DecodeTrap},
    {"brx", DecodeBrx},
    {"call", DecodeCall},
    {"exit", DecodeExit},
    {"griddepcontrol", DecodeNop},
    {"nanosleep", DecodeNanosleep},
    {"pmevent", DecodeNop},
    {"ret", DecodeRet},
    {"trap", DecodeTrap},
};

}  // namespace

std::span<const Opcode> Opcodes() { return kOpcodes; }

const Opcode* FindOpcode(std::string_view name) {
  static const auto* const kByName = [] {
    auto* map = new std::unordered_map<std::string_view, const Opcode*>();
    for (const Opcode& opcode : kOpcodes) (*map)[opcode.name] = &opcode;
    return map;
  }();
  const auto it = kByName->find(name);
  return it == kByName->end() ? nullptr : it->second;
}

}  // namespace emulation
