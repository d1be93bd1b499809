// The decode functions behind the table of opcodes, by the file that holds them with their handlers.
#pragma once

#include "tests/emulation/machine/decoder.h"
#include "tests/emulation/machine/instruction.h"

namespace emulation {

// Instruction::flags of arithmetic.
constexpr uint8_t kReadsCarry = 1;
constexpr uint8_t kWritesCarry = 2;

// op_arithmetic.cc: one operation, some types; handlers come from the three files that follow it.
void DecodeArithmetic(Decoder& d, Instruction& i);
Handler IntegerHandler(const Decoder& d, std::string_view name, ptx::Type type);  // op_integer.cc
Handler BitHandler(const Decoder& d, std::string_view name, ptx::Type type);      // op_bits.cc
Handler FloatHandler(const Decoder& d, std::string_view name, ptx::Type type);    // op_float.cc
Handler RoundedHandler(const Decoder& d, std::string_view name, ptx::Type type);  // op_rounding.cc
Handler HalfHandler(const Decoder& d, std::string_view name, ptx::Type type);     // op_half.cc
Handler CarryHandler(const Decoder& d, std::string_view name, ptx::Type type);    // op_carry.cc

// op_bits.cc
void DecodeLop3(Decoder& d, Instruction& i);
void DecodePrmt(Decoder& d, Instruction& i);
void DecodeShf(Decoder& d, Instruction& i);
void DecodeBitField(Decoder& d, Instruction& i);
void DecodeBmsk(Decoder& d, Instruction& i);
void DecodeSzext(Decoder& d, Instruction& i);
// op_dot.cc
void DecodeDot(Decoder& d, Instruction& i);
// op_compare.cc
void DecodeSetp(Decoder& d, Instruction& i);
void DecodeSet(Decoder& d, Instruction& i);
void DecodeSelp(Decoder& d, Instruction& i);
void DecodeSlct(Decoder& d, Instruction& i);
void DecodeTestp(Decoder& d, Instruction& i);
// op_move.cc
void DecodeMov(Decoder& d, Instruction& i);
void DecodeCvta(Decoder& d, Instruction& i);
void DecodeIsspacep(Decoder& d, Instruction& i);
// op_convert.cc, op_convert_small.cc
void DecodeCvt(Decoder& d, Instruction& i);
void DecodeSmallCvt(Decoder& d, Instruction& i);
// op_memory.cc
void DecodeLd(Decoder& d, Instruction& i);
void DecodeSt(Decoder& d, Instruction& i);
void DecodePrefetch(Decoder& d, Instruction& i);
void DecodeFence(Decoder& d, Instruction& i);
// op_atomic.cc
void DecodeAtom(Decoder& d, Instruction& i);
// op_warp.cc
void DecodeShfl(Decoder& d, Instruction& i);
void DecodeVote(Decoder& d, Instruction& i);
void DecodeMatch(Decoder& d, Instruction& i);
void DecodeActivemask(Decoder& d, Instruction& i);
void DecodeRedux(Decoder& d, Instruction& i);
void DecodeElect(Decoder& d, Instruction& i);
// op_control.cc
void DecodeBra(Decoder& d, Instruction& i);
void DecodeBrx(Decoder& d, Instruction& i);
void DecodeCall(Decoder& d, Instruction& i);
void DecodeRet(Decoder& d, Instruction& i);
void DecodeExit(Decoder& d, Instruction& i);
void DecodeTrap(Decoder& d, Instruction& i);
void DecodeBar(Decoder& d, Instruction& i);
void DecodeNanosleep(Decoder& d, Instruction& i);
void DecodeNop(Decoder& d, Instruction& i);
// op_async.cc
void DecodeCp(Decoder& d, Instruction& i);
// op_mbarrier.cc
void DecodeMbarrier(Decoder& d, Instruction& i);
// op_matrix.cc, op_mma.cc
void DecodeLdmatrix(Decoder& d, Instruction& i);
void DecodeStmatrix(Decoder& d, Instruction& i);
void DecodeMovmatrix(Decoder& d, Instruction& i);
void DecodeMma(Decoder& d, Instruction& i);

}  // namespace emulation
