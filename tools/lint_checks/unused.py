"""C++ declarations that nothing uses, tests apart.

A use counts when the file can see the declaration (it includes its header, at whatever depth) and the use has its form: `x.Name`, `Owner::Name`,
or the bare name inside the owner's own code. Uses by what is itself unused, and by the thing itself, do not count; nor does an assignment. Names that
several classes share hide behind each other; so the check misses some, and what it reports is true.

A declaration that stays all the same says why in the comment above it or behind it, and so does a class for all its members:
`For tests: why`, `Waits for: the capability`, `Called by: the library`, `Held for: what its bytes do`.
"""
import collections
import re

from finding import Finding
from includes import is_test

MARK = re.compile(r'\b(For tests|Waits for|Called by|Held for): \S')
WRITES = {'=', '+=', '-=', '|=', '&='}
# Called by the language or a library through a name of its own choice.
IMPLICIT = {'main', 'begin', 'end', 'AbslStringify',
            # What a coroutine's promise and what it awaits are asked for.
            'promise_type', 'get_return_object', 'initial_suspend', 'final_suspend', 'return_value', 'return_void', 'unhandled_exception',
            'await_ready', 'await_suspend', 'await_resume'}


def check(tree):
    return _Unused(tree).run()


class _Unused:
    def __init__(self, tree):
        self.tree = tree
        self.files = {path: tree.cpp(path) for path in tree.named('.cc', '.h', '.cu', '.cuh')}
        self.sees = {}  # path → the files that it includes, and itself
        self.uses = collections.defaultdict(list)  # name → [(path, Use)]
        self.types = collections.defaultdict(set)  # name → the files that declare it
        self.bases = collections.defaultdict(set)
        self.other_words = self._words_elsewhere()
        for path, file in self.files.items():
            self._visible(path)
            for use in file.uses:
                self.uses[use.name].append((path, use))
            for owner, bases in file.bases.items():
                self.bases[owner] |= bases
            for declared in file.declarations:
                if declared.kind == 'type':
                    self.types[declared.name].add(path)
        self.destructors = {'shared_ptr'}.union(*(file.destructors for file in self.files.values()))
        self.excused = {(path, _part(declared)) for path, file in self.files.items() for declared in file.declarations
                        if self._marked(path, declared.line)}
        self.excused_classes = {part for path, part in self.excused}

    def _words_elsewhere(self):
        """Names that CMake gives to the compiler."""
        return {word for path in self.tree.named('.txt', '.cmake') for word in re.findall(r'\w+', self.tree.split(path)[1])}

    def _visible(self, path):
        if path not in self.sees:
            seen = self.sees[path] = {path}
            for _, include in self.files[path].includes:
                header = include.strip('"')
                if header in self.files:
                    seen |= self._visible(header)
        return self.sees[path]

    def derives(self, name, base, seen=()):
        return name == base or any(self.derives(parent, base, (*seen, name)) for parent in self.bases.get(name, ()) if parent not in seen)

    def run(self):
        checked = [(path, declared, self._users(path, declared)) for path, file in self.files.items() for declared in file.declarations
                   if self._counts(path, declared) and not self._excused(path, declared)]
        findings, dead = {}, set()  # dead: (path, 'Owner::Name') whose uses do not count
        while True:
            before = len(findings)
            for path, declared, users in checked:
                live = [user for user, inside in users if (user, inside) not in dead]
                if id(declared) in findings or any(not is_test(user) for user in live):
                    continue
                findings[id(declared)] = Finding(path, declared.line, f'{declared.kind} `{_part(declared)}`',
                                                 'only tests use it' if live else 'nothing uses it')
                if declared.kind == 'function':
                    dead |= {(user, _part(declared)) for user in self.files if path in self.sees[user]}
            if len(findings) == before:
                return list(findings.values())

    def _counts(self, path, declared):
        if is_test(path) or declared.override or declared.name in IMPLICIT or declared.name in self.other_words:
            return False
        if declared.extern and path.endswith('.cc'):
            return False  # defined for others: model families, which a generated file lists
        if declared.owner and self.destructors.intersection(declared.types):
            return False  # held for what its end does
        if path.endswith(('.cc', '.cu')) and not declared.owner:  # the definition of what a header declares
            return not any(other.name == declared.name and not other.owner
                           for header in self.sees[path] if header.endswith('.h') for other in self.files[header].declarations)
        return True

    def _users(self, path, declared):
        own = _part(declared)
        found = []
        for user, use in self.uses[declared.name]:
            if path not in self.sees[user] or use.inside == own or (declared.kind == 'type' and use.inside.startswith(declared.name + '::')):
                continue
            if declared.kind == 'variable' and use.after in WRITES:
                continue
            if self._fits(declared, self.files[user], use):
                found.append((user, use.inside))
        return found

    def _fits(self, declared, file, use):
        member = declared.owner and not (declared.kind == 'enumerator' and not declared.scoped)
        if use.before in ('.', '->'):
            return bool(member) and declared.kind in ('function', 'variable')
        if use.before == '::':
            if not self.types[use.qualifier] & self.sees[file.path]:
                return True  # a namespace, or a type that only a compiler can resolve
            return self.derives(use.qualifier, declared.owner)
        if declared.kind == 'enumerator':
            return not declared.scoped
        if not member:
            return True
        called = declared.kind != 'function' or use.after in ('(', '<')
        return called and any(self.derives(owner, declared.owner) for owner in file.implements)

    def _excused(self, path, declared):
        """By a mark of its own, or of its class, or of a class that this one derives from."""
        return (path, _part(declared)) in self.excused or any(self.derives(declared.owner, name) for name in self.excused_classes)

    def _marked(self, path, line):
        lines = self.tree.read(path).split('\n')
        comment, at = [lines[line - 1].partition('//')[2]], line - 2
        while at >= 0 and lines[at].strip().startswith('//'):
            comment.insert(0, lines[at].strip()[2:])
            at -= 1
        return bool(MARK.search(' '.join(' '.join(comment).split())))


def _part(declared):
    return f'{declared.owner}::{declared.name}' if declared.owner else declared.name
