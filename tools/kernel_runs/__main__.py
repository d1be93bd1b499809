"""What kernels did on an emulated card (tests/emulation), held to limits.

    kernel_runs coverage --library libheadroom_cuda.so --at-least 95 --each 85 REPORT…
    kernel_runs counters --limits FILE -- PROGRAM ARGUMENT…

coverage   instructions executed over all runs that wrote a REPORT (EMULATED_GPU_INSTRUCTIONS): of all kernels of the library together, and of each.
counters   runs the program and compares launches, instructions, sectors and waves of each kernel with the file (counters.py says how it is written).
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'kernel_resources'))
import assembler  # noqa: E402
import counters  # noqa: E402
import coverage  # noqa: E402
import limits as resource_limits  # noqa: E402


def short_names(names):
    return {name: resource_limits.short_name(text) for name, text in assembler.demangled(sorted(names)).items()}


def run_coverage(arguments):
    missing = [path for path in arguments.reports if not os.path.exists(path)]
    if missing:
        return [f'{path}: no report; the test that writes it did not end' for path in missing]
    kernels = coverage.entries(assembler.modules_of(arguments.library))
    functions = coverage.read(arguments.reports)
    names = short_names(kernels | set(functions))
    table, findings = coverage.check(functions, kernels, arguments.each, names.get)
    line, more = coverage.check_total(list(functions.values()), arguments.at_least)
    print('\n'.join(table + [line]))
    return findings + more


def run_counters(arguments):
    with tempfile.NamedTemporaryFile('r', suffix='.json') as report:
        status = subprocess.run(arguments.program, env=os.environ | {'EMULATED_GPU_COUNTERS': report.name}, check=False).returncode
        if status != 0:
            return [f'{arguments.program[0]} ended with {status}']
        measured = counters.read(report)
    names = short_names(measured)
    measured = {names[name]: counted for name, counted in measured.items()}
    print('\n'.join(counters.table(measured)))
    return list(counters.check(measured, counters.read_limits(arguments.limits)))


def main():
    parser = argparse.ArgumentParser(prog='kernel_runs', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser('coverage')
    command.add_argument('--library', required=True)
    command.add_argument('--at-least', type=float, required=True, help='percent of all instructions')
    command.add_argument('--each', type=float, required=True, help='percent of each kernel')
    command.add_argument('reports', nargs='+')
    command.set_defaults(run=run_coverage)
    command = commands.add_parser('counters')
    command.add_argument('--limits', required=True)
    command.add_argument('program', nargs='+')
    command.set_defaults(run=run_counters)
    arguments = parser.parse_args()
    try:
        findings = arguments.run(arguments)
    except (OSError, ValueError) as error:
        findings = [str(error)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
