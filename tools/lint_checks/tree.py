"""The repository as the checks see it: its files, and in each of them what is comment and what is not."""
import ast
import bisect
import functools
import io
import os
import re
import subprocess
import tokenize

from cpp import TOKEN, File

# Data, and copies of what is checked elsewhere.
NOT_TEXT = re.compile(r'\.(png|jpe?g|svg|safetensors|jsonl|ipynb)$|^LICENSE$|^helm/headroom/files/|^proto/google/|^tests/(golden|helm/golden|fuzz/regressions)/'
                      r'|^models/.*\.json$|^tools/lint_checks/(allowed\.txt|.*_test\.py)$')


class Text:
    """Some words of a file that belong together: a block of comment, or a document. `text` is one string; line() tells where in the file a
    position of it stands."""

    def __init__(self, path, lines, raw=''):
        """`lines`: [(number, text)]."""
        self.path = path
        self.text = '\n'.join(text for _, text in lines)
        self._numbers = [number for number, _ in lines]
        self._starts = [0]
        for _, text in lines[:-1]:
            self._starts.append(self._starts[-1] + len(text) + 1)

    def line(self, position):
        return self._numbers[bisect.bisect_right(self._starts, position) - 1]


class Tree:
    def __init__(self, root, paths=None):
        self.root = root
        if paths is None:
            command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
            paths = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
        self.paths = sorted(path for path in set(paths) if os.path.isfile(os.path.join(root, path)))
        self.folders = {path[:i] for path in self.paths for i, c in enumerate(path) if c == '/'}

    @functools.lru_cache(maxsize=None)
    def read(self, path):
        with open(os.path.join(self.root, path), encoding='utf-8', errors='replace') as file:
            return file.read()

    def texts(self):
        """The files that people write by hand."""
        return [path for path in self.paths if not NOT_TEXT.search(path)]

    def named(self, *endings):
        return [path for path in self.texts() if path.endswith(endings)]

    @functools.lru_cache(maxsize=None)
    def language(self, path):
        name = path.rsplit('/', 1)[-1]
        if name.endswith(('.cc', '.h', '.cu', '.cuh', '.proto')):
            return 'c'
        if name.endswith('.md'):
            return 'document'
        if name.endswith('.py') or self.read(path).startswith('#!/usr/bin/env python'):
            return 'python'
        if name.endswith(('.sh', '.cmake', '.yaml', '.yml', '.tpl', '.supp', '.txt')) or '.' not in name or name.startswith(('.', 'Dockerfile')):
            return 'hash'
        return 'data'

    @functools.lru_cache(maxsize=None)
    def split(self, path):
        """([Text], code): the comments of the file, and the rest of it."""
        language = self.language(path)
        if language == 'document':
            return [Text(path, list(enumerate(self.read(path).split('\n'), 1)))], ''
        if language == 'data':
            return [], self.read(path)
        comments, code = {'c': _split_c, 'python': _split_python, 'hash': _split_hash}[language](self.read(path))
        return [Text(path, block) for block in _blocks(comments)], code

    @functools.lru_cache(maxsize=None)
    def cpp(self, path):
        # What is CUDA's beside C++ is in the way of a declaration, and says nothing to the checks.
        return File(path, re.sub(r'\b__(?:global|device|shared)__\b|\b__launch_bounds__\([^)]*\)', '', self.read(path)) if path.endswith(('.cu', '.cuh'))
                    else self.read(path))

    def comments(self):
        return [text for path in self.texts() for text in self.split(path)[0]]


def _blocks(comments):
    """[(line, column, text)] → blocks of comments on neighbouring lines at one column."""
    blocks, last = [], (-1, 0)
    for line, column, text in comments:
        if line == last[0] + 1 and column == last[1]:
            blocks[-1].append((line, text))
        else:
            blocks.append([(line, text)])
        last = (line, column)
    return blocks


def _split_c(text):
    comments, code, at, line = [], [], 0, 1
    for match in TOKEN.finditer(text):
        if match['comment'] is None:
            continue
        line += text.count('\n', at, match.start())
        code.append(text[at:match.start()])
        at = match.start()
        column = at - text.rfind('\n', 0, at)
        for number, part in enumerate(match['comment'].split('\n')):
            comments.append((line + number, column, re.sub(r'^(//|/\*+|\s*\*(?!/))', '', part).removesuffix('*/')))
        line += match['comment'].count('\n')
        at = match.end()
    return comments, ''.join(code) + text[at:]


def _split_python(text):
    comments = []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        tree = ast.parse(text)
    except (SyntaxError, tokenize.TokenError):
        return [], text
    lines = text.split('\n')
    for token in tokens:
        if token.type == tokenize.COMMENT:
            line, column = token.start
            comments.append((line, column, token.string[1:]))
            lines[line - 1] = lines[line - 1][:column]
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or ast.get_docstring(node) is None:
            continue
        quoted = node.body[0]
        for line in range(quoted.lineno, quoted.end_lineno + 1):
            comments.append((line, -quoted.lineno, lines[line - 1].replace('"""', '')))
            lines[line - 1] = ''
    return sorted(comments), '\n'.join(lines)


def _split_hash(text):
    """Shell, CMake, YAML and the like: a # that begins a word begins a comment; Helm's {{/* … */}} too."""
    comments, code = [], []
    for number, line in enumerate(text.split('\n'), 1):
        match = re.search(r'\{\{-?\s*/\*(.*?)(\*/.*)?$', line) or re.search(r'(?:^|(?<=\s))#(?!!)(.*)$', line)
        if match and _quotes_closed(line[:match.start()]):
            comments.append((number, match.start(), match[1]))
            line = line[:match.start()]
        code.append(line)
    return comments, '\n'.join(code)


def _quotes_closed(text):
    text = re.sub(r'\\.', '', text)
    text = re.sub(r'"[^"]*"|\'[^\']*\'', '', text)
    return not re.search(r'["\']', text)
