"""Comments and documents name only what exists: files and folders, sections of documents, CMake targets, CTest names, and names of the code."""
import functools
import re

from cmake import Build
from finding import Finding

# Addresses, NOLINT(…), and names of arguments as in f(/*strict=*/true).
OUTSIDE = re.compile(r'https?://[^\s)>]+|NOLINT\w*(\([^)]*\))?|^\w+=$')
EXTENSIONS = 'h|cc|cu|proto|py|sh|md|yaml|yml|json|jsonl|svg|tpl|cmake|supp|txt|png|jpg|safetensors|jinja'
FILE = re.compile(rf'(?<![\w/.$*}}>~-])((?:[\w.-]+/)*[A-Za-z.][\w.-]*\.(?:{EXTENSIONS}))(?![\w/*-])', re.ASCII)
PATH = re.compile(r'(?<![\w/.$*}>~:-])((?:[A-Za-z][\w.-]*/)+[\w.-]*)(?![\w/*{<$])', re.ASCII)
LINK = re.compile(r'\]\(([^)\s]+)\)')
DOCUMENT = r'((?:[\w.-]+/)*[\w-]+\.md|ARCHITECTURE|CONTRIBUTING|README)\b'
SECTION = re.compile(rf'\b{DOCUMENT}[`)]*,?\s+(?:section\s+)?["“]([^"”]+)["”]')
SECTION_BEFORE = re.compile(rf'["“]([^"”\n]+)["”]\s+(?:in|of)\s+`?{DOCUMENT}')
NUMBERED = re.compile(r'([\w.-]+(?:\s[\w.-]+)?),?\s+sections?\s+\d', re.IGNORECASE)
CTEST = re.compile(r'ctest\b[^\n`]*?\s-R\s+(\S+?)[`"\')\s]')
TEST = re.compile(r'(?<![\w/.-])([a-z]\w*_test)\b(?!\.\w|/)')
ENTRY = re.compile(r'(?<![\w.])((?:[\w-]+/)*\w+_test@[\w/]+)')
TARGET = re.compile(r'--target\s+(\w[\w-]*)')
OURS = re.compile(r'\bheadroom::([a-z]\w*)', re.ASCII)
MEMBER = re.compile(r'\b([A-Z]\w*)::~?([A-Za-z]\w*)', re.ASCII)
NAME = re.compile(r'(?<![\w./$<{-])([A-Za-z]\w*)\b(\(\)|::(?=[A-Za-z]))?(?![-]?\w)', re.ASCII)
WORD = re.compile(r'[A-Za-z_]\w*', re.ASCII)
# Inner capitals. In the prose of a document most such words are names of other things.
CAMEL = re.compile(r'[A-Z]+[a-z0-9]+([A-Z][a-z0-9]*)+')
# What else cannot be an English word: an underscore inside, a k before a capital.
CODE_LIKE = re.compile(r'[a-z0-9]+(_[a-z0-9]+)+_?|k[A-Z]\w+|[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]', re.ASCII)
# Stands for any name: NAME, MODEL_DIR, x, XServer, a_test, proto_y, headroom_NAME.
PLACEHOLDER = re.compile(r'[A-Z]+(_DIR)?|[a-z]|X[A-Z]\w+|[A-Z]+_[a-z]+|[a-z]_[a-z]+|[a-z]+_[a-z]|[a-z]+_[A-Z]+')


def check(tree, allowed):
    return _References(tree, allowed).run()


class _References:
    def __init__(self, tree, allowed):
        self.tree, self.allowed = tree, allowed
        self.build = Build(tree)
        self.suffixes = set()  # every path from any of its parts on, with and without its ending
        for path in list(tree.paths) + sorted(tree.folders):
            parts = path.split('/')
            for i in range(len(parts)):
                self.suffixes.add('/'.join(parts[i:]))
                self.suffixes.add('/'.join(parts[i:]).rsplit('.', 1)[0])
                self.suffixes.add(re.sub(r'/(\d{4})-[^/]*$', r'/\1', '/'.join(parts[i:])))  # docs/adr/0001
        self.top = {path.split('/')[0] for path in tree.folders}
        self.tests_known = self.build.tests | self.build.targets | set(self.build.functions) | {path.rsplit('/', 1)[-1].split('.')[0] for path in tree.paths}
        self.words = {word for path in tree.texts() for word in WORD.findall(tree.split(path)[1])}
        self.words |= {word for path in tree.paths for word in WORD.findall(path)}
        self.words |= {word for path in tree.paths if path.endswith('.json') for word in WORD.findall(tree.read(path))}
        self.words |= {word for name in self.build.targets | self.build.tests for word in WORD.findall(name)}
        self.namespaces = {name for path in tree.named('.cc', '.h', '.cu', '.cuh') for names in re.findall(r'^namespace headroom((?:::\w+)+)', tree.read(path), re.M)
                           for name in names.split('::')}
        self.members = self._members()
        self.findings = {}  # by place and last part of the name: the first check that sees a lie reports it

    def _members(self):
        """Class or enum → names of its members, where all of them are known: it has no base outside of the tree."""
        files = [self.tree.cpp(path) for path in self.tree.named('.cc', '.h', '.cu', '.cuh')]
        members, bases = {}, {}
        for file in files:
            for declared in file.declarations:
                if declared.owner:
                    members.setdefault(declared.owner, set()).add(declared.name)
            for owner, names in file.bases.items():
                bases.setdefault(owner, set()).update(names)
        for owner in members:
            seen, wanted = {owner}, list(bases.get(owner, ()))
            while wanted:
                base = wanted.pop()
                if base not in seen:
                    seen.add(base)
                    wanted += bases.get(base, ())
            bases[owner] = seen
        return {owner: set().union(*(members.get(base, set()) for base in bases[owner])) | {owner}
                for owner in members if bases[owner] <= members.keys()}

    def run(self):
        for text in self.tree.comments():
            if text.path == 'CHANGELOG.md':
                continue  # tells of what was
            words = OUTSIDE.sub(lambda outside: ' ' * len(outside[0]), text.text)
            for look in (self.files, self.links, self.sections, self.tests, self.names):
                look(text, words)
        return list(self.findings.values())

    def report(self, text, position, kind, name, what):
        if not self.allowed.has(kind, name):
            line = text.line(position)
            self.findings.setdefault((text.path, line, re.split('::|/', name)[-1]), Finding(text.path, line, f'{kind} `{name}`', what))

    def files(self, text, words):
        for match in list(FILE.finditer(words)) + list(PATH.finditer(words)):
            name = match[1].rstrip('/.').removeprefix('.../')
            parts = name.split('/')
            if not FILE.fullmatch(match[1]) and (parts[0] not in self.top or self.top.issuperset(parts)):
                continue  # tokens/s; admission/runtime: the one and the other
            if name in self.suffixes or self.resolve(text.path, name) or re.sub(r'(\.grpc)?\.pb\.h$', '.proto', name) in self.suffixes:
                continue
            if parts[0] in ('build', 'include') or any(PLACEHOLDER.fullmatch(part.split('.')[0]) for part in parts):
                continue
            self.report(text, match.start(), 'file', name, 'no such file or folder')

    def links(self, text, words):
        if not text.path.endswith('.md'):
            return
        for match in LINK.finditer(words):
            path, _, anchor = match[1].partition('#')
            target = self.resolve(text.path, path) if path else text.path
            if target is None:
                self.report(text, match.start(), 'file', match[1], 'the link leads nowhere')
            elif anchor and anchor not in self.anchors(target):
                self.report(text, match.start(), 'section', match[1], 'no such heading')

    def resolve(self, base, path):
        """The path from the root of what the document `base` calls `path`."""
        parts = base.split('/')[:-1]
        for part in path.rstrip('/').split('/'):
            if part == '..' and parts:
                parts.pop()
            elif part != '.':
                parts.append(part)
        name = '/'.join(parts)
        return name if name in self.tree.paths or name in self.tree.folders else None

    @functools.lru_cache(maxsize=None)
    def headings(self, path):
        return re.findall(r'^#+\s+(.*?)\s*$', self.tree.read(path), re.MULTILINE)

    def anchors(self, path):
        return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in self.headings(path)}

    def sections(self, text, words):
        named = [(match, match[1], match[2]) for match in SECTION.finditer(words)]
        named += [(match, match[2], match[1]) for match in SECTION_BEFORE.finditer(words)]
        for match, document, section in named:
            document += '' if document.endswith('.md') else '.md'
            path = document if document in self.tree.paths else self.resolve(text.path, document)
            section = ' '.join(section.split()).rstrip(',.')
            if path and section not in self.headings(path):
                self.report(text, match.start(), 'section', section, f'{path} has no such heading')
        for match in NUMBERED.finditer(words):
            self.report(text, match.start(), 'section', ' '.join(match[1].split()), 'a numbered section of a document that the tree does not have')

    def tests(self, text, words):
        for match in CTEST.finditer(words):
            if not any(re.search(match[1], test) for test in self.build.tests):
                self.report(text, match.start(), 'test', match[1], 'CTest has none of that name')
        for match in TEST.finditer(words):
            if match[1] not in self.tests_known and not PLACEHOLDER.fullmatch(match[1]):
                self.report(text, match.start(), 'test', match[1], 'neither a CTest name nor a test file')
        for match in ENTRY.finditer(words):
            if not any(f'/{test}'.endswith(f'/{match[1]}') for test in self.build.tests):
                self.report(text, match.start(), 'test', match[1], 'CTest has none of that name')
        for match in TARGET.finditer(words):
            if match[1] not in self.build.targets | {'all'}:
                self.report(text, match.start(), 'target', match[1], 'CMake makes no such target')
        for match in OURS.finditer(words):
            if match[0] not in self.build.targets and match[1] not in self.namespaces and not PLACEHOLDER.fullmatch(match[1]):
                self.report(text, match.start(), 'target', match[0], 'neither a CMake target nor a namespace')

    def names(self, text, words):
        for match in MEMBER.finditer(words):
            if match[2] not in self.members.get(match[1], {match[2]}):
                self.report(text, match.start(), 'name', match[0], f'{match[1]} has no such member')
        document = text.path.endswith('.md')
        for match in NAME.finditer(words):
            name, mark = match[1], match[2]
            prose = document and not mark and words[match.start() - 1:match.start()] != '`'
            if not (mark or CODE_LIKE.fullmatch(name) or CAMEL.fullmatch(name) and not prose):
                continue
            if PLACEHOLDER.fullmatch(name) or TEST.fullmatch(name) or {name, name.removesuffix('s'), re.sub('ies$', 'y', name)} & self.words:
                continue
            kind = 'target' if name.startswith('headroom_') else 'name'
            if not name.endswith('_') or not any(word.startswith(name) for word in self.words):
                self.report(text, match.start(), kind, name, 'nothing in the code is called that')
