"""Counters of kernels as the emulated card has them (EMULATED_GPU_COUNTERS), and their limits, one kernel a line, columns two or more spaces apart; the first
line that fits a kernel is its own:

    # kernel      launches  instructions  sectors  waves
    RmsNorm<*>    2         1200          1.00     1.00
    Copy          1         400           1.00     -

launches       at most so many, in the whole run
instructions   of warps, thousands, at most so many in the whole run
sectors        of 32 bytes of global memory, for each that as many bytes would need at best
waves          of shared memory, for each access; those of ldmatrix among them
-              the kernel does no such access
*              no limit
"""
import dataclasses
import fnmatch
import json
import math
import re

SLACK = 0.005  # limits have two digits behind the point


@dataclasses.dataclass
class Counted:
    launches: int
    instructions: float  # thousands
    sectors: float  # None: no access
    waves: float


def read(file):
    """mangled name → Counted"""
    found = {}
    for line in file:
        c = json.loads(line)
        accesses = c['shared_requests'] + c['matrix_requests']
        found[c['kernel']] = Counted(
            launches=c['launches'], instructions=c['warp_instructions'] / 1000,
            sectors=c['global_sectors'] / c['global_ideal_sectors'] if c['global_ideal_sectors'] else None,
            waves=(c['shared_waves'] + c['matrix_waves']) / accesses if accesses else None)
    return found


@dataclasses.dataclass
class Limit:
    line: int
    kernel: str
    limits: Counted
    used: bool = False

    def fits(self, name):
        return fnmatch.fnmatchcase(name, self.kernel.replace('[', '[[]'))


def most(text):
    return {'-': None, '*': math.inf}.get(text) if text in '-*' else float(text)


def read_limits(path):
    limits = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            columns = re.split(r'\s{2,}|\t+', line.split('#')[0].strip())
            if columns == ['']:
                continue
            try:
                kernel, launches, instructions, sectors, waves = columns
                limits.append(Limit(number, kernel, Counted(int(launches), most(instructions), most(sectors), most(waves))))
            except ValueError:
                raise ValueError(f'{path}: line {number} is no "kernel  launches  instructions  sectors  waves", two or more spaces apart') from None
    return limits


def table(measured):
    def text(ratio):
        return '-' if ratio is None else f'{ratio:.2f}'
    yield f'{"kernel":60} launches  instructions  sectors  waves'
    for name, c in sorted(measured.items()):
        yield f'{name:60} {c.launches:8}  {c.instructions:12.1f}  {text(c.sectors):>7}  {text(c.waves):>5}'


def check(measured, limits):
    """What is wrong, in words; nothing when all is well."""
    for name, counted in sorted(measured.items()):
        limit = next((limit for limit in limits if limit.fits(name)), None)
        if limit is None:
            yield f'{name}: no limit'
            continue
        limit.used = True
        allowed = limit.limits
        if counted.launches > allowed.launches:
            yield f'{name}: {counted.launches} launches, limit {allowed.launches} (line {limit.line})'
        if counted.instructions > allowed.instructions:
            yield f'{name}: {counted.instructions:.1f} thousand warp instructions, limit {allowed.instructions} (line {limit.line})'
        for what, ratio, ratio_max in (('sectors for each at best', counted.sectors, allowed.sectors), ('waves an access', counted.waves, allowed.waves)):
            if ratio is not None and (ratio_max is None or ratio > ratio_max + SLACK):
                yield f'{name}: {ratio:.2f} {what}, limit {"none at all" if ratio_max is None else ratio_max} (line {limit.line})'
    for limit in limits:
        if not limit.used:
            yield f'line {limit.line}: no kernel that ran is called {limit.kernel}'
