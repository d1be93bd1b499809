"""Registers, stack frames and spills of CUDA kernels against limits: ptxas assembles the PTX that lies in files (.ptx, or objects, libraries and
programs that nvcc made with --compress-mode=none). A kernel without a limit is a finding, and so is a limit without a kernel.

    python3 tools/kernel_resources --limits FILE [--ptxas PATH] [--architectures 80 90] FILE…
"""
import argparse
import sys

import assembler
import limits as limits_file


def main():
    parser = argparse.ArgumentParser(prog='kernel_resources')
    parser.add_argument('--limits', required=True)
    parser.add_argument('--ptxas', default='ptxas')
    parser.add_argument('--architectures', nargs='+', type=int, default=[], help='80 is sm_80; without it each PTX is assembled for its own')
    parser.add_argument('files', nargs='+')
    # Files may follow a list of numbers.
    arguments = parser.parse_intermixed_args()
    kernels = []
    for path in arguments.files:
        try:
            kernels += assembler.kernels_of(arguments.ptxas, path, arguments.architectures)
        except (OSError, ValueError) as error:
            print(f'{path}: {error}')
            return 1
    try:
        limits = limits_file.read(arguments.limits)
    except (OSError, ValueError) as error:
        print(f'{arguments.limits}: {error}')
        return 1
    kernels = sorted(set(kernels), key=lambda kernel: (limits_file.short_name(kernel.name), kernel.architecture))
    for kernel in kernels:
        print(f'{limits_file.short_name(kernel.name):40} sm_{kernel.architecture:<4} {kernel.registers:4} registers'
              f'{f", {kernel.stack} bytes of stack" if kernel.stack else ""}{f", {kernel.spills} bytes of spills" if kernel.spills else ""}')
    findings = list(limits_file.check(kernels, limits))
    for finding in findings:
        print(f'{arguments.limits}: {finding}')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
