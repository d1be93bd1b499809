"""Kernels as ptxas assembles them: registers, stack frame and spills of each, for each architecture."""
import dataclasses
import re
import subprocess
import tempfile

import fat_binary


@dataclasses.dataclass(frozen=True)
class Kernel:
    name: str  # demangled
    architecture: int  # 80 is sm_80
    registers: int
    stack: int  # bytes a thread, cumulative where functions are called
    spills: int  # bytes stored and loaded


def target_of(ptx):
    return int(re.search(r'^\.target\s+sm_(\d+)', ptx, re.MULTILINE).group(1))


def embedded(data):
    """The PTX of each fat binary in an object, library or program: a list of {target: text}."""
    modules = [texts for texts in ({entry.target: entry.text() for entry in entries if entry.is_ptx} for entries in fat_binary.read(data)) if texts]
    if not modules:
        raise ValueError('it holds no PTX')
    return modules


def modules_of(path):
    with open(path, 'rb') as file:
        data = file.read()
    if str(path).endswith('.ptx'):
        text = data.decode()
        return [{target_of(text): text}]
    return embedded(data)


def chosen(texts, architectures):
    """What a driver takes for each architecture, the newest PTX that is not above it; without any, each text for its own."""
    for architecture in architectures or sorted(texts):
        known = [target for target in texts if target <= architecture]
        if known:
            yield architecture, texts[max(known)]


def demangled(names):
    if not names:
        return {}
    lines = subprocess.run(['c++filt'], input='\n'.join(names), capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(zip(names, lines))


def parse(report):
    """What `ptxas -v` writes, as kernels whose names are still mangled."""
    entry, found = None, {}
    function = None
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)\w*'", line):
            entry = function = match.group(1)
            found[entry] = {'architecture': int(match.group(2)), 'registers': None, 'stack': 0, 'spills': 0}
        elif match := re.search(r'Function properties for (\S+)', line):
            function = match.group(1)
        elif match := re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads', line):
            # Of a function that is called, too: what it spills it spills for the kernel.
            found[entry]['spills'] += int(match.group(2)) + int(match.group(3))
            if function == entry:
                found[entry]['stack'] = max(found[entry]['stack'], int(match.group(1)))
        elif match := re.search(r'Used (\d+) registers', line):
            found[entry]['registers'] = int(match.group(1))
            if cumulative := re.search(r'(\d+) bytes cumulative stack size', line):
                found[entry]['stack'] = int(cumulative.group(1))
    return found


def assemble(ptxas, text, architecture):
    with tempfile.NamedTemporaryFile('w', suffix='.ptx') as file:
        file.write(text)
        file.flush()
        result = subprocess.run([ptxas, '-v', f'-arch=sm_{architecture}', file.name, '-o', '/dev/null'], capture_output=True, text=True)
    if result.returncode != 0:
        raise ValueError(f'ptxas for sm_{architecture}: {result.stderr.strip() or result.stdout.strip()}')
    found = parse(result.stderr + result.stdout)
    names = demangled(list(found))
    return [Kernel(names[name], **figures) for name, figures in found.items()]


def kernels_of(ptxas, path, architectures):
    return [kernel for texts in modules_of(path) for architecture, text in chosen(texts, architectures)
            for kernel in assemble(ptxas, text, architecture)]
