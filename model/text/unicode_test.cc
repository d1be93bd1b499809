#include "model/text/unicode.h"

#include <gtest/gtest.h>

#include <string>

namespace headroom::model {
namespace {

std::string Repeat(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

// U+0300 has class 230, U+0316 class 220: the latter come first, and "a" composes with the first of the former.
TEST(UnicodeTest, RowsOfMarksOfAnyLength) {
  for (const int count : {1, 2, 50, 64, 65, 200'000}) {
    const std::string marks = Repeat("\u0300\u0316", count);
    EXPECT_EQ(*ToForm(NormalForm::kNfc, "xa" + marks + "b"),
              "x\u00e0" + Repeat("\u0316", count) + Repeat("\u0300", count - 1) + "b");
    EXPECT_EQ(*ToForm(NormalForm::kNfc, marks), Repeat("\u0316", count) + Repeat("\u0300", count));
    // Marks that are several in canonical order: U+0344 is U+0308 U+0301, U+0F73 (whose own class is 0) U+0F71 U+0F72.
    EXPECT_EQ(*ToForm(NormalForm::kNfc, Repeat("\u0344\u0f73", count)),
              Repeat("\u0f71", count) + Repeat("\u0f72", count) + Repeat("\u0308\u0301", count));
  }
}

TEST(UnicodeTest, SeveralLongRows) {
  const std::string marks = Repeat("\u0301\u0323", 300);
  const std::string ordered = Repeat("\u0323", 299) + Repeat("\u0301", 300);
  EXPECT_EQ(*ToForm(NormalForm::kNfc, "\u00e9\u6f22a" + marks + " \u00fc a" + marks),
            "\u00e9\u6f22\u1ea1" + ordered + " \u00fc \u1ea1" + ordered);
}

}  // namespace
}  // namespace headroom::model
