// ldmatrix, stmatrix, movmatrix: 8×8 matrices of 16-bit elements. Lane l of a fragment holds elements 2(l mod 4) and
// the next of row l/4, so that the 32 lanes of one register are the matrix row by row.
#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

struct Matrix {
  uint16_t element[8][8];
};

Matrix Transposed(const Matrix& m) {
  Matrix t;
  for (int row = 0; row < 8; row++) {
    for (int column = 0; column < 8; column++) t.element[row][column] = m.element[column][row];
  }
  return t;
}

uint32_t RowAddress(const Warp& w, const Instruction& i, int lane) {
  if (!i.wide) return Lanes<uint32_t>(w, i.a)[lane] + static_cast<uint32_t>(i.value);
  const uint64_t address = Lanes<uint64_t>(w, i.a)[lane] + i.value;
  return static_cast<uint32_t>(address - kSharedWindow < kWindowBytes ? address - kSharedWindow : address);
}

// Row r of matrix k lies where lane 8k + r says.
void Ldmatrix(Warp& w, const Instruction& i, Mask) {
  const bool checked = w.launch->options->checked;
  for (int k = 0; k < i.count; k++) {
    Matrix m;
    uint64_t rows[8];
    for (int row = 0; row < 8; row++) {
      const int lane = 8 * k + row;
      rows[row] = RowAddress(w, i, lane);
      const uint8_t* from = ResolveShared(w, i, lane, rows[row], 16, 16);
      if (checked) InspectShared(w, i, lane, static_cast<uint32_t>(rows[row]), 16, Kind::kRead);
      memcpy(m.element[row], from, 16);
    }
    if (w.launch->options->count) CountMatrix(*w.launch, rows);
    if (i.mode != 0) m = Transposed(m);
    memcpy(Lanes<uint8_t>(w, i.list[k]), &m, sizeof m);
  }
}

void Stmatrix(Warp& w, const Instruction& i, Mask) {
  for (int k = 0; k < i.count; k++) {
    Matrix m;
    memcpy(&m, Lanes<uint8_t>(w, i.list[k]), sizeof m);
    if (i.mode != 0) m = Transposed(m);
    for (int row = 0; row < 8; row++) {
      const int lane = 8 * k + row;
      const uint32_t offset = RowAddress(w, i, lane);
      uint8_t* to = ResolveShared(w, i, lane, offset, 16, 16);
      if (w.launch->options->checked) InspectShared(w, i, lane, offset, 16, Kind::kWrite);
      memcpy(to, m.element[row], 16);
    }
  }
}

void Movmatrix(Warp& w, const Instruction& i, Mask) {
  Matrix m;
  memcpy(&m, Lanes<uint8_t>(w, i.a), sizeof m);
  m = Transposed(m);
  memcpy(Lanes<uint8_t>(w, i.dst), &m, sizeof m);
}

void DecodeMatrices(Decoder& d, Instruction& i, const ptx::Operand& fragments, const ptx::Operand& address,
                    Handler handler) {
  if (!d.Has("m8n8") || d.TypeAt() != ptx::Type::kB16) return;
  i.count = static_cast<uint8_t>(fragments.kind == ptx::Operand::Kind::kVector ? fragments.elements.size() : 1);
  i.list = fragments.kind == ptx::Operand::Kind::kVector ? d.List(fragments.elements, 4) : d.List({fragments}, 4);
  d.Address(address, i);
  i.mode = d.Has("trans") ? 1 : 0;
  i.d = d.Constant(kAllLanes, 4);
  i.flow = Flow::kConverge;
  i.run = handler;
}

}  // namespace

void DecodeLdmatrix(Decoder& d, Instruction& i) { DecodeMatrices(d, i, d.operand(0), d.operand(1), Ldmatrix); }
void DecodeStmatrix(Decoder& d, Instruction& i) { DecodeMatrices(d, i, d.operand(1), d.operand(0), Stmatrix); }

void DecodeMovmatrix(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.d = d.Constant(kAllLanes, 4);
  i.flow = Flow::kConverge;
  i.run = Movmatrix;
}

}  // namespace emulation
