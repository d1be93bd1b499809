"""Whether a library holds machine code of every kernel for every architecture that it is shipped for, and PTX for the cards after them.

    python3 tools/kernel_resources/machine_code.py --architectures 80 90 -- FILE…

Each fat binary (one for each .cu file) is looked into: the kernels are those that its PTX declares. Without --architectures it must hold none: such a build
is for the driver to compile. Needs nothing of the toolkit.
"""
import argparse
import re
import struct
import sys

import fat_binary

ARCHITECTURE_SHIFT = 8  # of e_flags


def elf_code(data):
    """Architecture and {kernel: bytes of code} of an ELF that ptxas made."""
    if data[:4] != b'\x7fELF':
        raise ValueError('machine code that is no ELF: compressed? Build with --compress-mode=none')
    sections_at, flags = struct.unpack_from('<Q', data, 40)[0], struct.unpack_from('<I', data, 48)[0]
    size, count, names_index = struct.unpack_from('<HHH', data, 58)
    headers = [struct.unpack_from('<IIQQQQIIQQ', data, sections_at + size * k) for k in range(count)]
    names_at = headers[names_index][4]
    code = {}
    for name, _, _, _, _, length, *_ in headers:
        text = data[names_at + name:data.index(b'\0', names_at + name)].decode()
        if text.startswith('.text.'):
            code[text.removeprefix('.text.')] = length
    return flags >> ARCHITECTURE_SHIFT & 0xff, code


def check(path, architectures):
    """What is wrong, a line each; and how many bytes of code each architecture has."""
    with open(path, 'rb') as file:
        binaries = fat_binary.read(file.read())
    findings, sizes = [], {}
    if not binaries:
        findings.append('no fat binary')
    for number, entries in enumerate(binaries):
        ptx = {entry.target: entry.text() for entry in entries if entry.is_ptx}
        kernels = {name for text in ptx.values() for name in re.findall(r'^\s*(?:\.visible\s+|\.weak\s+)?\.entry\s+(\w+)', text, re.MULTILINE)}
        if not kernels:
            findings.append(f'fat binary {number}: no PTX with a kernel')
            continue
        label = f'fat binary {number} ({sorted(kernels)[0]}…)'
        found = {}
        for entry in entries:
            if entry.is_machine_code:
                architecture, code = elf_code(entry.data)
                if architecture != entry.target:
                    findings.append(f'{label}: an entry for sm_{entry.target} holds code of sm_{architecture}')
                found[architecture] = code
                sizes[architecture] = sizes.get(architecture, 0) + sum(code.values())
        for architecture in sorted(set(architectures) - set(found)):
            findings.append(f'{label}: no machine code for sm_{architecture}')
        for architecture in sorted(set(found) - set(architectures)):
            findings.append(f'{label}: machine code for sm_{architecture}, which nobody asked for')
        for architecture, code in sorted(found.items()):
            findings += [f'{label}: no code of {kernel} for sm_{architecture}' for kernel in sorted(kernels) if not code.get(kernel)]
        newest = max([80, *architectures])
        for target in sorted({80, newest} - set(ptx)):
            findings.append(f'{label}: no PTX of compute_{target}')
    return findings, sizes


def main():
    parser = argparse.ArgumentParser(prog='machine_code')
    parser.add_argument('--architectures', nargs='*', type=int, default=[], help='80 is sm_80')
    parser.add_argument('files', nargs='+')
    arguments = parser.parse_intermixed_args()
    bad = False
    for path in arguments.files:
        try:
            findings, sizes = check(path, arguments.architectures)
        except (OSError, ValueError) as error:
            findings, sizes = [str(error)], {}
        print(f'{path}: ' + (', '.join(f'sm_{architecture} {size / 1e6:.1f} MB' for architecture, size in sorted(sizes.items())) or 'PTX alone'))
        for finding in findings:
            print(f'{path}: {finding}')
        bad = bad or bool(findings)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
