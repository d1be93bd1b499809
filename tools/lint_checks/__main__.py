"""Checks what no compiler does: that comments and documents name what exists, that libraries are included only where ARCHITECTURE.md says so, and that
every declaration has a user. CONTRIBUTING.md, "What lint checks", says how to answer a finding.

    python3 tools/lint_checks
"""
import pathlib
import sys

import includes
import references
import unused
import unused_words
from finding import Allowed
from tree import Tree


def main():
    here = pathlib.Path(__file__).resolve().parent
    tree = Tree(here.parent.parent)
    allowed = Allowed(here / 'allowed.txt')
    findings = references.check(tree, allowed) + includes.check(tree) + unused.check(tree) + unused_words.check(tree)
    findings += allowed.findings('tools/lint_checks/allowed.txt')
    for finding in sorted(set(findings)):
        print(finding)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
