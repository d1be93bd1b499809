// ldmatrix, mma and cp.async/mbarrier against plain C++, from the layouts of the PTX manual: element by element, where
// the machine works by blocks.
#include <gmock/gmock.h>

#include <random>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/opcodes.h"
#include "tests/emulation/machine/testing.h"

namespace emulation {
namespace {

// A matrix in shared memory (16 bytes a row) through ldmatrix into registers, and back by the manual's layout.
void CheckLdmatrix(bool transposed, int count) {
  TestDevice device;
  std::vector<uint16_t> elements(64 * count);
  for (size_t k = 0; k < elements.size(); k++) elements[k] = static_cast<uint16_t>(k * 7 + 3);
  std::string registers;
  for (int k = 0; k < count; k++) registers += (k > 0 ? ", %r" : "%r") + std::to_string(10 + k);
  std::string body =
      ".shared .align 16 .b8 s[1024];\nmul.wide.u32 %d0, %t, 16;\nadd.u64 %d1, %d0, %p0;\nmov.u32 %r0, s;\nmad.lo.u32 "
      "%r1, %t, 16, %r0;\nsetp.lt.u32 %q0, %t, " +
      std::to_string(8 * count) +
      ";\n@%q0 ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%d1];\n@%q0 st.shared.v4.u32 [%r1], {%r2, %r3, %r4, "
      "%r5};\nbar.sync 0;\nldmatrix.sync.aligned.m8n8.x" +
      std::to_string(count) + (transposed ? ".trans" : "") + ".shared.b16 {" + registers +
      "}, [%r1];\nmul.wide.u32 %d0, %t, " + std::to_string(4 * count) + ";\nadd.u64 %d1, %d0, %p1;\n";
  for (int k = 0; k < count; k++)
    body += "st.global.u32 [%d1+" + std::to_string(4 * k) + "], %r" + std::to_string(10 + k) + ";\n";
  device.Load(KernelText(2, body));
  const uint64_t out = device.Allocate(32 * 4 * count);
  device.Run("K", {1}, {32}, {device.Upload(elements), out});
  const std::vector<uint16_t> r = device.Download<uint16_t>(out, 64 * count);
  for (int lane = 0; lane < 32; lane++) {
    for (int k = 0; k < count; k++) {
      for (int e = 0; e < 2; e++) {
        const int row = lane / 4, column = lane % 4 * 2 + e;
        EXPECT_EQ(r[(lane * count + k) * 2 + e], elements[64 * k + (transposed ? column * 8 + row : row * 8 + column)]);
      }
    }
  }
}

OPCODE_TEST(ldmatrix) {
  for (const bool transposed : {false, true}) {
    for (const int count : {1, 2, 4}) CheckLdmatrix(transposed, count);
  }
}

OPCODE_TEST(stmatrix) {
  TestDevice device;
  device.Load(KernelText(1,
                         ".shared .align 16 .b8 s[128];\nmov.u32 %r0, s;\nand.b32 %r1, %t, 7;\nmad.lo.u32 %r1, %r1, "
                         "16, %r0;\nmad.lo.u32 %r2, %t, 0x20002, 0x10000;\n"
                         "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r1], {%r2};\nbar.warp.sync -1;\nmad.lo.u32 %r3, "
                         "%t, 4, %r0;\nld.shared.u32 %r4, [%r3];\nmul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, "
                         "%p0;\nst.global.u32 [%d0], %r4;\n"));
  const uint64_t out = device.Allocate(128);
  device.Run("K", {1}, {32}, {out});
  const std::vector<uint16_t> r = device.Download<uint16_t>(out, 64);
  for (uint32_t k = 0; k < 64; k++) EXPECT_EQ(r[k], k);  // row by row
}

OPCODE_TEST(movmatrix) {
  TestDevice device;
  device.Load(KernelText(1,
                         "mad.lo.u32 %r2, %t, 0x20002, 0x10000;\nmovmatrix.sync.aligned.m8n8.trans.b16 %r4, "
                         "%r2;\nmul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, %p0;\nst.global.u32 [%d0], %r4;\n"));
  const uint64_t out = device.Allocate(128);
  device.Run("K", {1}, {32}, {out});
  const std::vector<uint16_t> r = device.Download<uint16_t>(out, 64);
  for (uint32_t k = 0; k < 64; k++) EXPECT_EQ(r[k], k % 8 * 8 + k / 8);
}

// An instruction's shape and how its elements lie in registers: the formulas of the manual's figures.
struct MmaCase {
  std::string op;
  int rows, depth, bits;           // bits of an element of A and B
  double (*value)(uint32_t code);  // of an element
  uint32_t code_mask;              // codes to draw from
  bool integer;
  double (*value_b)(uint32_t code) = nullptr;  // when B has another type
};

class MmaRun {
 public:
  explicit MmaRun(const MmaCase& c)
      : c_(c), per_register_(32 / c.bits), a_(Draw(c.rows * c.depth)), b_(Draw(8 * c.depth)) {}

  void Check() {
    SCOPED_TRACE(c_.op);
    const int a_registers = c_.rows * c_.depth / 32 / per_register_, b_registers = 8 * c_.depth / 32 / per_register_,
              sums = c_.rows * 8 / 32;
    std::vector<uint32_t> in(32 * 16);
    for (int lane = 0; lane < 32; lane++) {
      for (int r = 0; r < a_registers; r++) in[lane * 16 + r] = Fragment(a_, lane, r, c_.rows / 8);
      for (int r = 0; r < b_registers; r++) in[lane * 16 + 4 + r] = Fragment(b_, lane, r, 1);
      for (int r = 0; r < sums; r++) in[lane * 16 + 8 + r] = C(Row(lane, r), Column(lane, r));
    }
    const std::vector<uint32_t> out = Run(in, a_registers, b_registers, sums);
    for (int lane = 0; lane < 32; lane++) {
      for (int r = 0; r < sums; r++) Compare(Row(lane, r), Column(lane, r), out[lane * 4 + r]);
    }
  }

 private:
  std::vector<uint32_t> Draw(int n) {
    std::mt19937 random(n);
    std::vector<uint32_t> codes(n);
    for (uint32_t& code : codes) code = random() & c_.code_mask;
    return codes;
  }

  // Register r of a fragment of row-major codes (rows × depth): rows lane/4 and, alternating, 8 below; depths in steps
  // of 4 elements a lane.
  uint32_t Fragment(const std::vector<uint32_t>& codes, int lane, int r, int row_blocks) const {
    uint32_t word = 0;
    for (int e = 0; e < per_register_; e++) {
      const int row = lane / 4 + 8 * (r % row_blocks),
                k = r / row_blocks * 4 * per_register_ + lane % 4 * per_register_ + e;
      word |= codes[row * c_.depth + k] << (c_.bits * e % 32);
    }
    return word;
  }

  static int Row(int lane, int r) { return lane / 4 + 8 * (r / 2); }
  static int Column(int lane, int r) { return lane % 4 * 2 + r % 2; }
  uint32_t C(int row, int column) const {
    return c_.integer ? static_cast<uint32_t>(row * 1000 - column)
                      : std::bit_cast<uint32_t>(static_cast<float>(row) - column * 0.25F);
  }

  std::vector<uint32_t> Run(const std::vector<uint32_t>& in, int a_registers, int b_registers, int sums) {
    const auto list = [](int first, int n) {
      std::string text = "{";
      for (int k = 0; k < n; k++) text += (k > 0 ? ", %r" : "%r") + std::to_string(first + k);
      return text + "}";
    };
    std::string body = "mul.wide.u32 %d0, %t, 64;\nadd.u64 %d0, %d0, %p0;\n";
    for (int k = 0; k < 16; k++)
      body += "ld.global.u32 %r" + std::to_string(k) + ", [%d0+" + std::to_string(4 * k) + "];\n";
    body += c_.op + " " + list(16, sums) + ", " + list(0, a_registers) + ", " + list(4, b_registers) + ", " +
            list(8, sums) + ";\nmul.wide.u32 %d1, %t, 16;\nadd.u64 %d1, %d1, %p1;\n";
    for (int k = 0; k < sums; k++)
      body += "st.global.u32 [%d1+" + std::to_string(4 * k) + "], %r" + std::to_string(16 + k) + ";\n";
    TestDevice device;
    device.Load(KernelText(2, body));
    const uint64_t out = device.Allocate(32 * 16);
    device.Run("K", {1}, {32}, {device.Upload(in), out});
    return device.Download<uint32_t>(out, 128);
  }

  void Compare(int row, int column, uint32_t got) const {
    const auto value_b = c_.value_b != nullptr ? c_.value_b : c_.value;
    double sum = c_.integer ? static_cast<int32_t>(C(row, column)) : std::bit_cast<float>(C(row, column)),
           size = std::abs(sum);
    for (int k = 0; k < c_.depth; k++) {
      const double product = c_.value(a_[row * c_.depth + k]) * value_b(b_[column * c_.depth + k]);
      sum += product;
      size += std::abs(product);
    }
    if (c_.integer) {
      EXPECT_EQ(static_cast<int32_t>(got), static_cast<int32_t>(sum)) << row << " " << column;
    } else {
      EXPECT_NEAR(std::bit_cast<float>(got), sum, 1e-6 * size + std::numeric_limits<float>::denorm_min())
          << row << " " << column;
    }
  }

  const MmaCase c_;
  int per_register_;
  std::vector<uint32_t> a_, b_;
};

double OfBf16(uint32_t code) { return std::bit_cast<float>(code << 16); }
double OfF16(uint32_t code) { return ToFloat(F16{static_cast<uint16_t>(code)}); }
double OfTf32(uint32_t code) { return std::bit_cast<float>(code); }
double OfS8(uint32_t code) { return static_cast<int8_t>(code); }
double OfU8(uint32_t code) { return code; }
double OfE4m3(uint32_t code) { return E4m3::Decode(static_cast<uint8_t>(code)); }
double OfE5m2(uint32_t code) { return E5m2::Decode(static_cast<uint8_t>(code)); }

OPCODE_TEST(mma) {
  const std::string p = "mma.sync.aligned.";
  // The masks keep exponents small, so that no sum is infinite.
  MmaRun({p + "m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, 16, OfBf16, 0xbfff, false}).Check();
  MmaRun({p + "m16n8k8.row.col.f32.bf16.bf16.f32", 16, 8, 16, OfBf16, 0xbfff, false}).Check();
  MmaRun({p + "m16n8k16.row.col.f32.f16.f16.f32", 16, 16, 16, OfF16, 0xbfff, false}).Check();
  MmaRun({p + "m16n8k8.row.col.f32.f16.f16.f32", 16, 8, 16, OfF16, 0xbfff, false}).Check();
  MmaRun({p + "m16n8k8.row.col.f32.tf32.tf32.f32", 16, 8, 32, OfTf32, 0xbfffe000, false}).Check();
  MmaRun({p + "m16n8k4.row.col.f32.tf32.tf32.f32", 16, 4, 32, OfTf32, 0xbfffe000, false}).Check();
  MmaRun({p + "m16n8k32.row.col.s32.s8.s8.s32", 16, 32, 8, OfS8, 0xff, true}).Check();
  MmaRun({p + "m16n8k16.row.col.s32.u8.s8.s32", 16, 16, 8, OfU8, 0xff, true, OfS8}).Check();
  MmaRun({p + "m16n8k32.row.col.satfinite.s32.s8.u8.s32", 16, 32, 8, OfS8, 0xff, true, OfU8}).Check();
  MmaRun({p + "m8n8k16.row.col.s32.s8.s8.s32", 8, 16, 8, OfS8, 0xff, true}).Check();
  MmaRun({p + "m16n8k32.row.col.f32.e4m3.e4m3.f32", 16, 32, 8, OfE4m3, 0xbf, false}).Check();
  MmaRun({p + "m16n8k32.row.col.f32.e5m2.e4m3.f32", 16, 32, 8, OfE5m2, 0xbf, false, OfE4m3}).Check();
}

OPCODE_TEST(cp) {
  TestDevice device;
  // 16 bytes a thread, of which the source gives `t mod 17`, the rest zeros; two groups, waited for one after the
  // other.
  device.Load(
      KernelText(2,
                 ".shared .align 16 .b8 s[1024];\nmul.wide.u32 %d0, %t, 16;\nadd.u64 %d1, %d0, %p0;\nadd.u64 %d2, %d0, "
                 "%p1;\nmov.u32 %r0, s;\nmad.lo.u32 %r1, %t, 16, %r0;\nrem.u32 %r2, %t, 17;\n"
                 "cp.async.cg.shared.global [%r1], [%d1], 16, %r2;\ncp.async.commit_group;\ncp.async.ca.shared.global "
                 "[%r1+512], [%d1], 8;\ncp.async.commit_group;\n"
                 "cp.async.wait_group 1;\nld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r1];\nst.global.v4.u32 [%d2], {%r3, "
                 "%r4, %r5, %r6};\ncp.async.wait_all;\nld.shared.u32 %r7, [%r1+512];\nst.global.u32 [%d2+12], %r7;\n"));
  std::vector<uint8_t> in(512);
  for (size_t k = 0; k < in.size(); k++) in[k] = static_cast<uint8_t>(k + 1);
  const uint64_t out = device.Allocate(512);
  device.Run("K", {1}, {32}, {device.Upload(in), out});
  const std::vector<uint8_t> r = device.Download<uint8_t>(out, 512);
  for (int t = 0; t < 32; t++) {
    for (int k = 0; k < 12; k++) EXPECT_EQ(r[t * 16 + k], k < t % 17 ? in[t * 16 + k] : 0);
    for (int k = 0; k < 4; k++) EXPECT_EQ(r[t * 16 + 12 + k], in[t * 16 + k]);
  }
}

// One warp copies with cp.async, whose arrival is promised to an mbarrier; the other waits on it, phase after phase.
constexpr char kPipeline[] = R"(
.shared .align 16 .b8 data[512];
.shared .align 8 .b8 full[8], empty[8];
setp.ne.u32 %q0, %t, 0;
@%q0 bra READY;
mbarrier.init.shared.b64 [full], 32;
mbarrier.init.shared.b64 [empty], 32;
READY:
bar.sync 0;
mov.u32 %r0, data;
and.b32 %r1, %t, 31;
mad.lo.u32 %r0, %r1, 16, %r0;
mul.wide.u32 %d0, %r1, 16;
add.u64 %d1, %d0, %p0;
add.u64 %d2, %d0, %p1;
mov.u32 %r2, 0;
setp.gt.u32 %q1, %t, 31;
@%q1 bra CONSUME;
PRODUCE:
setp.eq.u32 %q2, %r2, 0;
@%q2 bra COPY;
sub.u32 %r3, %r2, 1;
and.b32 %r3, %r3, 1;
EMPTY:
mbarrier.try_wait.parity.shared.b64 %q3, [empty], %r3;
@!%q3 bra EMPTY;
COPY:
cp.async.ca.shared.global [%r0], [%d1], 16;
cp.async.mbarrier.arrive.noinc.shared.b64 [full];
add.u64 %d1, %d1, 512;
add.u32 %r2, %r2, 1;
setp.lt.u32 %q2, %r2, 5;
@%q2 bra PRODUCE;
bra DONE;
CONSUME:
and.b32 %r3, %r2, 1;
FULL:
mbarrier.test_wait.parity.shared.b64 %q3, [full], %r3;
@!%q3 bra FULL;
ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r0];
mbarrier.arrive.shared.b64 %d3, [empty];
st.global.v4.u32 [%d2], {%r4, %r5, %r6, %r7};
add.u64 %d2, %d2, 512;
add.u32 %r2, %r2, 1;
setp.lt.u32 %q2, %r2, 5;
@%q2 bra CONSUME;
DONE:
)";

OPCODE_TEST(mbarrier) {
  for (const uint64_t seed : {0, 1, 2, 3}) {
    TestDevice device;
    device.options.seed = seed;
    device.Load(KernelText(2, kPipeline));
    std::vector<uint32_t> in(5 * 128);
    for (uint32_t k = 0; k < in.size(); k++) in[k] = k * 3;
    const uint64_t out = device.Allocate(in.size() * 4);
    device.Run("K", {1}, {64}, {device.Upload(in), out});
    EXPECT_EQ(device.Download<uint32_t>(out, in.size()), in);
  }
}

TEST(Mbarrier, AReadBeforeTheWaitIsFound) {
  TestDevice device;
  std::string broken = kPipeline;
  broken.replace(broken.find("@!%q3 bra FULL;"), 15, "");
  device.Load(KernelText(2, broken));
  const std::vector<uint32_t> in(5 * 128, 1);
  EXPECT_THAT(
      device.Fault("K", {1}, {64}, {device.Upload(in), device.Allocate(in.size() * 4)}),
      testing::AnyOf(testing::HasSubstr("cp.async"), testing::HasSubstr("race"), testing::HasSubstr("never written")));
}

TEST(EveryOpcode, HasATest) {
  for (const Opcode& opcode : Opcodes())
    EXPECT_TRUE(OpcodeTest::Tested().contains(std::string(opcode.name))) << opcode.name;
  RecordProperty("opcodes", static_cast<int>(Opcodes().size()));
}

}  // namespace
}  // namespace emulation
