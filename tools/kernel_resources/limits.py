"""Limits of kernels, one a line, columns two or more spaces apart; the first line that fits a kernel is its own:

    # kernel            architectures  registers  stack
    FlashAttention<*>   80 86          128
    FlashAttention<*>   *              168
    Recursive           *              32         64
"""
import dataclasses
import fnmatch
import re


@dataclasses.dataclass
class Limit:
    line: int
    kernel: str  # a pattern with * for any text, of the name without result, namespaces, and arguments
    architectures: list  # empty: all
    registers: int
    stack: int = 0  # bytes a thread
    used: bool = False

    def fits(self, kernel):
        # Brackets are no part of C++ names that a pattern would have a use for.
        pattern = self.kernel.replace('[', '[[]')
        return fnmatch.fnmatchcase(short_name(kernel.name), pattern) and (not self.architectures or kernel.architecture in self.architectures)


def short_name(name):
    """void ns::(anonymous namespace)::Flash<72, true>(int) → Flash<72, true>"""
    depth, begin = 0, 0
    name = name.replace('(anonymous namespace)', '_')
    for at, c in enumerate(name):
        if c == '<':
            depth += 1
        elif c == '>':
            depth -= 1
        elif depth == 0 and c == '(':
            return name[begin:at]
        elif depth == 0 and c in ' :':
            begin = at + 1
    return name[begin:]


def read(path):
    limits = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            columns = re.split(r'\s{2,}|\t+', line.split('#')[0].strip())
            if columns == ['']:
                continue
            try:
                kernel, architectures, registers, *stack = columns
                limits.append(Limit(number, kernel, [] if architectures == '*' else [int(a) for a in architectures.split()], int(registers),
                                    *[int(bytes_) for bytes_ in stack]))
            except (ValueError, TypeError):
                raise ValueError(f'line {number} is no "kernel  architectures  registers  [stack]", two or more spaces apart') from None
    return limits


def check(kernels, limits):
    """What is wrong, in words; nothing when all is well."""
    for kernel in kernels:
        what = f'{short_name(kernel.name)} for sm_{kernel.architecture}'
        limit = next((limit for limit in limits if limit.fits(kernel)), None)
        if limit is None:
            yield f'{what}: no limit; it takes {kernel.registers} registers'
            continue
        limit.used = True
        if kernel.registers > limit.registers:
            yield f'{what}: {kernel.registers} registers, limit {limit.registers} (line {limit.line})'
        if kernel.stack > limit.stack:
            yield (f'{what}: a stack frame of {kernel.stack} bytes, limit {limit.stack} (line {limit.line}); '
                   'the driver reserves it for every thread that can be resident')
        if kernel.spills > 0:
            yield f'{what}: {kernel.spills} bytes of spills'
    for limit in limits:
        if not limit.used:
            yield f'line {limit.line}: no kernel is called {limit.kernel}'
