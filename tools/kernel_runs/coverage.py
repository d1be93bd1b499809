"""How much of each kernel was executed: what the emulated card reports (EMULATED_GPU_INSTRUCTIONS), joined over several runs. Instructions, not source
lines: unrolled bodies and template instantiations share lines, and one of them may never have run."""
import collections
import dataclasses
import json
import re


@dataclasses.dataclass
class Function:
    name: str  # mangled
    instructions: int
    missed: dict  # number in the function → (file, line, opcode)

    @property
    def executed(self):
        return self.instructions - len(self.missed)


def read(paths):
    """name → Function. What one run missed and another executed was executed."""
    functions = {}
    for path in paths:
        with open(path, encoding='utf-8') as file:
            for line in file:
                report = json.loads(line)
                missed = {number: (source, source_line, opcode) for number, source, source_line, opcode in report['missed']}
                known = functions.setdefault(report['function'], Function(report['function'], report['instructions'], missed))
                if known.instructions != report['instructions']:
                    raise ValueError(f'{path}: {report["function"]} has {report["instructions"]} instructions, {known.instructions} in another report: '
                                     'they come from different builds')
                known.missed = {number: where for number, where in known.missed.items() if number in missed}
    return functions


def entries(modules):
    """Mangled names of the kernels in PTX texts."""
    return {name for texts in modules for text in texts.values() for name in re.findall(r'^(?:\.visible )?\.entry (\w+)\(', text, re.MULTILINE)}


def check(functions, kernels, least, short_name_of):
    """Lines of a table, and findings: a kernel below `least` percent, with the lines that were not executed, and one that never ran."""
    table, findings = [], []
    for name in sorted(kernels, key=short_name_of):
        function = functions.get(name)
        if function is None:
            findings.append(f'{short_name_of(name)} never ran')
            continue
        percent = 100 * function.executed / function.instructions
        table.append(f'{short_name_of(name):60} {function.executed:6} of {function.instructions:6} {percent:6.1f} %')
        if percent < least:
            findings.append(f'{short_name_of(name)}: {percent:.1f} % of its instructions were executed, at least {least} % are wanted; not executed: '
                            f'{lines_of(function.missed.values())}')
    return table, findings


def lines_of(missed):
    """norm.cu:12 (3), norm.cu:15 (1): the lines, and how many instructions of each."""
    counts = collections.Counter((source.rsplit('/', 1)[-1], line) for source, line, _ in missed)
    return ', '.join(f'{source}:{line} ({count})' for (source, line), count in sorted(counts.items()))


def check_total(functions, least):
    """A line, and findings: less than `least` percent of all instructions."""
    executed, instructions = sum(function.executed for function in functions), sum(function.instructions for function in functions)
    percent = 100 * executed / max(instructions, 1)
    missed = (where for function in functions for where in function.missed.values())
    findings = [f'{percent:.1f} % of all instructions were executed, at least {least} % are wanted; not executed: {lines_of(missed)}']
    return f'all: {executed} of {instructions} instructions, {percent:.1f} %', findings if percent < least else []
