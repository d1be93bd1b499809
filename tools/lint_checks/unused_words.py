"""Declarations outside of C++ that nothing uses: functions, classes, methods and constants of Python, functions of shell scripts, and what the
protocol declares and neither C++ nor Python touches. By name alone: a name that anything else has hides a declaration. The marks of unused.py
count here too.
"""
import ast
import collections
import re

from finding import Finding
from unused import MARK

# Called by pytest, PyTorch and Python by a name of their own choice.
IMPLICIT = re.compile(r'test_\w+|Test\w*|pytest\w+|__\w+__|main|forward|setUp|tearDown')
FIELD = re.compile(r'^\s+(?:repeated |optional )?[\w.]+(?:<[\w., ]+>)? (\w+) = \d+[ ;]', re.MULTILINE)
VALUE = re.compile(r'^\s+([A-Z][A-Z0-9_]+) = \d+;', re.MULTILINE)
NAMED = re.compile(r'^\s*(?:message|enum|rpc|service) (\w+)', re.MULTILINE)


def check(tree):
    return _python(tree) + _shell(tree) + _protocol(tree)


def _excused(tree, path, line):
    """By a mark in the comment above the declaration, behind it, or right below its head (a docstring)."""
    lines = tree.read(path).split('\n')
    around = [lines[line - 1], lines[line] if line < len(lines) else '']
    at = line - 2
    while at >= 0 and lines[at].strip().startswith(('#', '//')):
        around.append(lines[at])
        at -= 1
    return any(MARK.search(text) for text in around)


def _python(tree):
    paths = [path for path in tree.texts() if tree.language(path) == 'python']
    used, declared = collections.Counter(), []
    for path in paths:
        try:
            module = ast.parse(tree.read(path))
        except SyntaxError:
            continue  # Python says so itself
        for node in ast.walk(module):
            name = {ast.Attribute: 'attr', ast.arg: 'arg', ast.keyword: 'arg', ast.Constant: 'value', ast.alias: None}.get(type(node), None)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] += 1
            elif name and isinstance(getattr(node, name), str):
                used[getattr(node, name)] += 1
        declared += [(path, *found) for found in _definitions(tree, path, module.body, '')]
    return [Finding(path, line, f'{kind} `{name}`', 'nothing uses it') for path, line, kind, name in declared
            if not used[name.split('.')[-1]] and not IMPLICIT.fullmatch(name.split('.')[-1]) and not _excused(tree, path, line)]


def _definitions(tree, path, body, owner):
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield node.lineno, 'function', owner + node.name
        elif isinstance(node, ast.ClassDef):
            yield node.lineno, 'class', owner + node.name
            if not _excused(tree, path, node.lineno):
                yield from _definitions(tree, path, node.body, node.name + '.')
        elif isinstance(node, ast.Assign):
            yield from ((node.lineno, 'variable', owner + target.id) for target in node.targets if isinstance(target, ast.Name))


def _shell(tree):
    scripts = [path for path in tree.texts() if tree.language(path) == 'hash' and tree.read(path).startswith('#!') or path.endswith('.sh')]
    words = collections.Counter(word for path in scripts for word in re.findall(r'\w+', tree.split(path)[1]))
    return [Finding(path, line, f'function `{match[1]}`', 'nothing uses it')
            for path in scripts for match in re.finditer(r'^(\w+)\(\)', tree.read(path), re.MULTILINE)
            if words[match[1]] < 2 and not _excused(tree, path, line := tree.read(path).count('\n', 0, match.start()) + 1)]


def _protocol(tree):
    words = {word for path in tree.named('.cc', '.h', '.cu', '.cuh', '.py') for word in re.findall(r'\w+', tree.split(path)[1])}
    endings = {word[at:] for word in words if word.isupper() or '_' in word for at in range(len(word)) if at == 0 or word[at - 1] == '_'}
    findings = []
    named = collections.Counter(word for path in tree.named('.proto') for word in re.findall(r'\w+', tree.split(path)[1]))
    for path in tree.named('.proto'):
        text = tree.read(path)
        for pattern, kind in ((FIELD, 'field'), (VALUE, 'value'), (NAMED, 'declaration')):
            for match in pattern.finditer(text):
                name, line = match[1], text.count('\n', 0, match.start(1)) + 1
                forms = {name, f'set_{name}', f'mutable_{name}', f'has_{name}', f'add_{name}', f'{name}_size'}
                used = name in endings if kind == 'value' else bool(forms & words) or kind == 'declaration' and named[name] > 1
                if not used and not name.endswith('_UNSPECIFIED') and not _excused(tree, path, line):
                    findings.append(Finding(path, line, f'{kind} `{name}`', 'neither C++ nor Python uses it'))
    return findings
