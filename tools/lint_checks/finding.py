"""What a check says, and what it was told to accept."""
import dataclasses
import os


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    what: str
    why: str

    def __str__(self):
        return f'{self.path}:{self.line}: {self.what}: {self.why}'


class Allowed:
    """Lines `kind name: reason`. An entry that nothing needs any more is a finding itself."""

    def __init__(self, path=None):
        self.path = path
        self.entries = {}  # (kind, name) → line
        self.used = set()
        self.malformed = []
        if path and os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                for number, line in enumerate(file, 1):
                    self._read(number, line.split('#')[0].strip())

    def _read(self, number, line):
        if not line:
            return
        head, colon, reason = line.partition(': ')
        kind, _, names = head.partition(' ')
        if not colon or not reason.strip() or not names:
            self.malformed.append(number)
        for name in names.split(', '):
            self.entries[kind, name] = number

    def has(self, kind, name):
        self.used.add((kind, name))
        return (kind, name) in self.entries

    def findings(self, path):
        for number in self.malformed:
            yield Finding(path, number, 'entry', 'wants `kind name, name: reason`')
        for (kind, name), number in self.entries.items():
            if (kind, name) not in self.used:
                yield Finding(path, number, f'{kind} `{name}`', 'no check asks for it any more: remove the entry')
