// main() of the test programs. A program holds the tests of several files; `--file=engine_test.cc` (or a longer end of
// its path) runs those of one, which is how CTest has an entry for each file. Everything else is GoogleTest's.
//
// Exit status: GoogleTest's; 1 when the file has no test in this program; kSkipped when all tests that ran skipped
// themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace {

constexpr int kSkipped = 77;
constexpr std::string_view kFileFlag = "--file=";

// Whether `path` ends with `file`, whole names only: "ops/linear_test.cc" in ".../runtime/ops/linear_test.cc".
bool EndsWithFile(std::string_view path, std::string_view file) {
  if (!path.ends_with(file)) return false;
  return path.size() == file.size() || path[path.size() - file.size() - 1] == '/';
}

int TestsInFile(const ::testing::TestSuite& suite, std::string_view file) {
  int count = 0;
  for (int i = 0; i < suite.total_test_count(); ++i) count += EndsWithFile(suite.GetTestInfo(i)->file(), file) ? 1 : 0;
  return count;
}

// The user's own filter, less the tests of other files. Returns how many tests the file has.
int KeepFile(std::string_view file) {
  std::string filter = GTEST_FLAG_GET(filter);
  auto leave_out = [&,
                    separator = filter.find('-') == std::string::npos ? '-' : ':'](const std::string& pattern) mutable {
    filter.append(1, separator).append(pattern);
    separator = ':';
  };
  int kept = 0;
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const ::testing::TestSuite& suite = *all.GetTestSuite(i);
    const int in_file = TestsInFile(suite, file);
    kept += in_file;
    if (in_file == 0) leave_out(std::string(suite.name()) + ".*");
    if (in_file == 0 || in_file == suite.total_test_count()) continue;
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const ::testing::TestInfo& test = *suite.GetTestInfo(j);
      if (!EndsWithFile(test.file(), file)) leave_out(std::string(suite.name()) + "." + test.name());
    }
  }
  GTEST_FLAG_SET(filter, filter);
  return kept;
}

// CTest runs *_test.cc files: a test that is written in another file would run only where all tests do.
bool AllLieInTestFiles() {
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const ::testing::TestSuite& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const ::testing::TestInfo& test = *suite.GetTestInfo(j);
      if (std::string_view(test.file()).ends_with("_test.cc")) continue;
      std::fprintf(stderr, "%s.%s lies in %s, which is no *_test.cc\n", suite.name(), test.name(), test.file());
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kFileFlag)) {
      std::fprintf(stderr, "%s: unknown argument; want --file=NAME_test.cc or GoogleTest's (--help)\n", argv[i]);
      return 2;
    }
    if (KeepFile(argument.substr(kFileFlag.size())) == 0) {
      std::fprintf(stderr, "%s: this program has no test of that file\n", argv[i]);
      return 1;
    }
  }
  if (!AllLieInTestFiles()) return 1;
  const int status = RUN_ALL_TESTS();
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  const bool nothing_but_skips = all.successful_test_count() == 0 && all.skipped_test_count() > 0;
  return status == 0 && nothing_but_skips ? kSkipped : status;
}
