"""Lies are planted in a small tree that is true, and each must be found where it stands. Python's standard library only.

    python3 tools/lint_checks/lint_checks_test.py
"""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import includes  # noqa: E402
import references  # noqa: E402
import unused  # noqa: E402
from finding import Allowed  # noqa: E402
from tree import Tree  # noqa: E402

TRUE = {
    'ARCHITECTURE.md': '''# Architecture

`store/shelf.cc` keeps what `Shelf::Put()` was given; see [words](#words), docs/shelf.md and `shelf_test`.

## Words

| library | headers | only in |
| --- | --- | --- |
| gRPC | `grpcpp/`, `*.grpc.pb.h` | `edge/` |
| PCRE2 | `pcre2` | `store/shelf` |
''',
    'docs/shelf.md': '''# The shelf

ctest -R shelf_test
cmake --build build --target headroom_store
''',
    'CMakeLists.txt': '''# Everything; cmake/Targets.cmake makes headroom_store, alias headroom::store.
include(Targets)
headroom_library(store)
foreach(part shelf book)
  headroom_test(${part}_test)
endforeach()
''',
    'cmake/Targets.cmake': '''# headroom_library(NAME)
function(headroom_library name)
  set(target headroom_${name})
  add_library(${target} STATIC x.cc)
  add_library(headroom::${name} ALIAS ${target})
endfunction()
function(headroom_test name)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
''',
    'store/shelf.h': '''// A shelf (ARCHITECTURE.md, "Words"). store/shelf_test.cc tests it.
#pragma once
#include <string>

namespace headroom::store {

inline constexpr int kBooksMax = 8;  // kBooksMax bounds Shelf::Put().
enum class Order { kByName, kByAge };

struct Book {
  std::string title;
  Order order = Order::kByName;
};

class Shelf {
 public:
  explicit Shelf(int books) : books_(books) {}
  bool Put(Book book);
  // Waits for: books that are lent.
  bool Lend(const std::string& title);
  int books() const { return books_; }  // For tests: that nothing is lost.

 private:
  int books_ = 0;
};

}  // namespace headroom::store
''',
    'store/shelf.cc': '''#include "store/shelf.h"

#include <pcre2.h>

namespace headroom::store {
namespace {

bool Old(const Book& book) { return book.order == Order::kByAge; }

}  // namespace

bool Shelf::Put(Book book) { return !Old(book) && !book.title.empty() && ++books_ <= kBooksMax; }
bool Shelf::Lend(const std::string& title) { return !title.empty(); }

}  // namespace headroom::store
''',
    'store/shelf_test.cc': '''#include "store/shelf.h"
TEST(Shelf, Counts) { EXPECT_EQ(headroom::store::Shelf(3).books(), 3); }
''',
    'edge/main.cc': '''#include <grpcpp/grpcpp.h>

#include "store/shelf.h"
int main() { return headroom::store::Shelf(1).Put({"a", headroom::store::Order::kByAge}); }
''',
    'tools/run.sh': '''#!/usr/bin/env bash
# Runs edge/main.cc.
echo "# no/such/file.py is no comment"
''',
    'tools/count.py': '''"""Counts what `store/shelf.h` declares."""
import pathlib  # tools/run.sh calls it

print(pathlib.Path("a"))
''',
    'deploy/shelf.yaml': '''# The keys of docs/shelf.md.
books_max: 8
''',
    'proto/shelf.proto': '''// What store/shelf.h holds, on the wire.
message Shelf {}
''',
}


class Planted(unittest.TestCase):
    def findings(self, changes=None, allowed=''):
        """What the checks say of the tree with `changes`: path → (old text, new text), or the whole text of a new file."""
        files = dict(TRUE)
        for path, change in (changes or {}).items():
            if isinstance(change, str):
                files[path] = change
            else:
                self.assertIn(change[0], files[path])
                files[path] = files[path].replace(change[0], change[1], 1)
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding='utf-8')
            (root / 'allowed').write_text(allowed, encoding='utf-8')
            tree, exceptions = Tree(root, files), Allowed(root / 'allowed')
            found = references.check(tree, exceptions) + includes.check(tree) + unused.check(tree) + list(exceptions.findings('allowed'))
            return sorted(set(map(str, found)))

    def lies(self, *planted):
        """planted: (path, old, new, where and what the only finding begins with)."""
        for path, old, new, wanted in planted:
            with self.subTest(path=path, lie=new):
                found = self.findings({path: (old, new)})
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(wanted), f'{found[0]} does not begin with {wanted}')

    def test_the_truth_is_not_complained_of(self):
        self.assertEqual(self.findings(), [])

    def test_files(self):
        self.lies(
            ('store/shelf.h', 'store/shelf_test.cc tests', 'store/shelf_check.cc tests', 'store/shelf.h:1: file `store/shelf_check.cc`'),
            ('tools/count.py', 'tools/run.sh calls', 'tools/start.sh calls', 'tools/count.py:2: file `tools/start.sh`'),
            ('tools/count.py', '`store/shelf.h` declares', '`store/shelves.h` declares', 'tools/count.py:1: file `store/shelves.h`'),
            ('tools/run.sh', 'edge/main.cc.', 'edge/server.', 'tools/run.sh:2: file `edge/server`'),
            ('deploy/shelf.yaml', 'docs/shelf.md', 'docs/shelves.md', 'deploy/shelf.yaml:1: file `docs/shelves.md`'),
            ('proto/shelf.proto', 'store/shelf.h', 'shelves.h', 'proto/shelf.proto:1: file `shelves.h`'),
            ('CMakeLists.txt', 'cmake/Targets.cmake', 'cmake/Rules.cmake', 'CMakeLists.txt:1: file `cmake/Rules.cmake`'),
            ('ARCHITECTURE.md', '(#words)', '(docs/book.md)', 'ARCHITECTURE.md:3: file `docs/book.md`'))

    def test_sections(self):
        self.lies(
            ('store/shelf.h', '"Words"', '"Names"', 'store/shelf.h:1: section `Names`'),
            ('ARCHITECTURE.md', '(#words)', '(#names)', 'ARCHITECTURE.md:3: section `#names`'),
            ('store/shelf.cc', '  // namespace\n', '  // "Names" in ARCHITECTURE.md\n', 'store/shelf.cc:10: section `Names`'),
            ('tools/run.sh', 'Runs edge/main.cc.', 'As the plan, section 3.2, says.', 'tools/run.sh:2: section `the plan`'))

    def test_targets(self):
        self.lies(
            ('docs/shelf.md', '--target headroom_store', '--target headroom_shop', 'docs/shelf.md:4: target `headroom_shop`'),
            ('CMakeLists.txt', 'makes headroom_store', 'makes headroom_shop', 'CMakeLists.txt:1: target `headroom_shop`'),
            ('CMakeLists.txt', 'headroom::store.', 'headroom::shop.', 'CMakeLists.txt:1: target `headroom::shop`'),
            ('docs/shelf.md', '--target headroom_store', '--target store', 'docs/shelf.md:4: target `store`'))

    def test_ctest_names(self):
        self.lies(
            ('docs/shelf.md', '-R shelf_test', '-R shelf_unit', 'docs/shelf.md:3: test `shelf_unit`'),
            ('ARCHITECTURE.md', '`shelf_test`', '`store_test`', 'ARCHITECTURE.md:3: test `store_test`'),
            ('ARCHITECTURE.md', '`shelf_test`', '`store/shelf_test@cpu`', 'ARCHITECTURE.md:3: test `store/shelf_test@cpu`'),
            ('store/shelf.h', 'kBooksMax bounds', 'shelves_test counts', 'store/shelf.h:7: test `shelves_test`'))

    def test_names_of_the_code(self):
        self.lies(
            ('store/shelf.h', 'kBooksMax bounds', 'kShelvesMax bounds', 'store/shelf.h:7: name `kShelvesMax`'),
            ('store/shelf.h', 'bounds Shelf::Put()', 'bounds Shelf::Take()', 'store/shelf.h:7: name `Shelf::Take`'),
            ('store/shelf.h', 'bounds Shelf::Put()', 'bounds Book::books', 'store/shelf.h:7: name `Book::books`'),
            ('deploy/shelf.yaml', 'The keys', 'books_least and the keys', 'deploy/shelf.yaml:1: name `books_least`'),
            ('tools/count.py', 'calls it', 'calls BookCounter', 'tools/count.py:2: name `BookCounter`'))

    def test_includes(self):
        self.lies(
            ('store/shelf.h', '#include <string>', '#include <string>\n#include <grpcpp/channel.h>', 'store/shelf.h:4: include of gRPC'),
            ('store/shelf.cc', '#include <pcre2.h>', '#include <pcre2.h>\n#include "shelf.grpc.pb.h"', 'store/shelf.cc:4: include of gRPC'),
            ('edge/main.cc', '#include <grpcpp/grpcpp.h>', '#include <grpcpp/grpcpp.h>\n#include <pcre2.h>', 'edge/main.cc:2: include of PCRE2'),
            ('ARCHITECTURE.md', '`edge/` |', '`edge/`, `store/shelf` |', 'ARCHITECTURE.md:9: `store/shelf`: does not include gRPC'),
            ('ARCHITECTURE.md', '| only in |', '| where |', 'ARCHITECTURE.md:1: table of libraries'))

    def test_includes_of_tests_are_free(self):
        self.assertEqual(self.findings({'store/shelf_test.cc': ('#include', '#include <grpcpp/channel.h>\n#include')}), [])

    def test_unused_declarations(self):
        self.lies(
            ('store/shelf.h', '  bool Put(', '  void Sort();\n  bool Put(', 'store/shelf.h:18: function `Shelf::Sort`: nothing uses it'),
            ('store/shelf.h', 'class Shelf {', 'bool Damaged(const Book& book);\nclass Shelf {', 'store/shelf.h:15: function `Damaged`: nothing'),
            ('store/shelf.h', 'inline constexpr', 'inline constexpr int kPagesMax = 3;\ninline constexpr', 'store/shelf.h:7: variable `kPagesMax`'),
            ('store/shelf.h', 'kByName, kByAge', 'kByName, kByAge, kBySize', 'store/shelf.h:8: enumerator `Order::kBySize`'),
            ('store/shelf.h', '  std::string title;', '  std::string title;\n  int pages = 0;', 'store/shelf.h:12: variable `Book::pages`'),
            ('store/shelf.h', 'int books_ = 0;', 'int books_ = 0;\n  int lent_ = 0;', 'store/shelf.h:25: variable `Shelf::lent_`'),
            ('store/shelf.h', 'struct Book {', 'struct Lamp;\nstruct Table {};\nstruct Book {', 'store/shelf.h:11: type `Table`'),
            ('store/shelf.h', '// For tests: that nothing', '// that nothing', 'store/shelf.h:21: function `Shelf::books`: only tests use it'),
            ('store/shelf.h', '  // Waits for: books', '  // Books', 'store/shelf.h:20: function `Shelf::Lend`: nothing uses it'))

    def test_what_a_file_defines_for_others_is_theirs_to_use(self):
        constant = 'const Book kFirst{"A"};\n'
        self.assertEqual(self.findings({'edge/first.cc': '#include "store/shelf.h"\nextern ' + constant + 'int main() {}\n'}), [])
        found = self.findings({'edge/first.cc': '#include "store/shelf.h"\n' + constant + 'int main() {}\n'})
        self.assertEqual([line.split(': ')[1] for line in found], ['variable `kFirst`'])

    def test_what_only_the_unused_uses_is_unused(self):
        found = self.findings({'store/shelf.cc': ('bool Old', 'bool Torn(const Book& book) { return book.title == ""; }\nbool Worn(const Book& b) { return Torn(b); }\nbool Old')})
        self.assertEqual([line.split(': ')[1] for line in found], ['function `Torn`', 'function `Worn`'])

    def test_what_is_only_written_is_unused(self):
        found = self.findings({'store/shelf.h': ('  std::string title;', '  std::string title;\n  int pages = 0;'),
                               'store/shelf.cc': ('return !Old(book)', 'book.pages = 3;\n  return !Old(book)')})
        self.assertEqual([line.split(': ')[1] for line in found], ['variable `Book::pages`'])

    def test_an_alias_is_what_it_stands_for(self):
        size = 'struct Size {\n  static constexpr int kWide = 3;\n};\nusing Own = Size;\nint main() { return Own::kWide; }\n'
        self.assertEqual(self.findings({'edge/size.cc': size}), [])
        found = self.findings({'edge/size.cc': size.replace('kWide; }', 'kTall; }')})
        self.assertEqual([line.split(': ')[1] for line in found], ['variable `Size::kWide`'])

    def test_another_class_with_the_name_hides_nothing_that_cannot_see_it(self):
        other = 'struct Lamp {\n  int watts = 0;\n};\nint main() { return Lamp{}.watts; }\n'
        found = self.findings({'edge/lamp.cc': other, 'store/shelf.h': ('  std::string title;', '  std::string title;\n  int watts = 0;')})
        self.assertEqual([line.split(': ')[1] for line in found], ['variable `Book::watts`'])

    def test_exceptions_have_reasons_and_are_needed(self):
        lie = {'store/shelf.h': ('store/shelf_test.cc tests', 'shelves.cc tests')}
        self.assertEqual(self.findings(lie, 'file shelves.cc: of another project\n'), [])
        self.assertTrue(self.findings(lie, 'file shelves.cc\n')[0].startswith('allowed:1: entry'))
        self.assertEqual(self.findings(allowed='# why\n\nfile shelves.cc: of another project\n'),
                         ['allowed:3: file `shelves.cc`: no check asks for it any more: remove the entry'])


if __name__ == '__main__':
    unittest.main()
