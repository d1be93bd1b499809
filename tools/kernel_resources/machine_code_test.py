"""Libraries that lack something are made here, and each must be named for what it lacks.

    python3 tools/kernel_resources/machine_code_test.py
"""
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parent / 'machine_code.py'
PTX = '.version 8.0\n.target sm_80\n.visible .entry Add(\n.param .u64 p\n)\n{\n  ret;\n}\n.visible .entry Mul(.param .u64 p) { ret; }\n'


def machine_code(architecture, **kernels):
    """An ELF as ptxas makes it, as far as the tool looks: sections named .text.KERNEL with so many bytes."""
    names, headers = b'\0.shstrtab\0', []
    for kernel, size in kernels.items():
        headers.append((len(names), 1, 0, 0, 0, size, 0, 0, 0, 0))
        names += f'.text.{kernel}'.encode() + b'\0'
    headers.append((1, 3, 0, 0, 64, len(names), 0, 0, 0, 0))
    head = struct.pack('<4s12xHHIQQQIHHHHHH', b'\x7fELF', 2, 190, 1, 0, 0, 64 + len(names), architecture << 8 | 2, 64, 0, 0, 64, len(headers),
                       len(headers) - 1)
    return head + names + b''.join(struct.pack('<IIQQQQIIQQ', *header) for header in headers)


def library(*entries):
    """One fat binary among other bytes: (kind, target, data)."""
    body = b''
    for kind, target, data in entries:
        body += struct.pack('<HHIQ12xI8xQ16x', kind, 0x101, 64, len(data), target, 0) + data
    return b'\x7fELF and code' + struct.pack('<IHHQ', 0xba55ed50, 1, 16, len(body)) + body + b'data'


def ptx(target):
    return 1, target, PTX.encode() + b'\0'


class MachineCodeTest(unittest.TestCase):

    def run_tool(self, data, *architectures):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'lib.so'
            path.write_bytes(data)
            wanted = ['--architectures', *map(str, architectures)] if architectures else []
            done = subprocess.run([sys.executable, TOOL, *wanted, '--', path], capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, '')
        return done.returncode, done.stdout

    def test_every_kernel_for_every_architecture(self):
        whole = library(ptx(80), (2, 80, machine_code(80, Add=128, Mul=256)), (2, 90, machine_code(90, Add=128, Mul=256)), ptx(90))
        status, output = self.run_tool(whole, 80, 90)
        self.assertEqual(status, 0, output)
        self.assertIn('sm_80 0.0 MB, sm_90 0.0 MB', output)

    def test_what_is_missing_is_named(self):
        both = machine_code(80, Add=128, Mul=256)
        for entries, finding in ((((2, 80, both), ptx(80), ptx(90)), 'no machine code for sm_90'),
                                 ((ptx(80), (2, 80, both), (2, 90, machine_code(90, Add=128))), 'no code of Mul for sm_90'),
                                 ((ptx(80), (2, 80, both), (2, 90, machine_code(90, Add=128, Mul=0))), 'no code of Mul for sm_90'),
                                 ((ptx(80), (2, 80, both), (2, 90, machine_code(86, Add=1, Mul=1))), 'an entry for sm_90 holds code of sm_86'),
                                 ((ptx(80), (2, 80, both), (2, 90, machine_code(90, Add=1, Mul=1))), 'no PTX of compute_90'),
                                 ((ptx(80), ptx(90), (2, 80, both), (2, 90, machine_code(90, Add=1, Mul=1)), (2, 100, machine_code(100, Add=1, Mul=1))),
                                  'machine code for sm_100, which nobody asked for'),
                                 (((2, 80, both),), 'no PTX with a kernel')):
            status, output = self.run_tool(library(*entries), 80, 90)
            self.assertEqual(status, 1, finding)
            self.assertIn(finding, output)

    def test_ptx_alone(self):
        self.assertEqual(self.run_tool(library(ptx(80)))[0], 0)
        status, output = self.run_tool(library(ptx(80), (2, 80, machine_code(80, Add=1, Mul=1))))
        self.assertEqual(status, 1)
        self.assertIn('which nobody asked for', output)

    def test_files_that_cannot_be_looked_into(self):
        for data, why in ((b'no library', 'no fat binary'), (library(ptx(80), (2, 80, b'(\xb5/\xfdsqueezed')), 'compressed')):
            status, output = self.run_tool(data, 80)
            self.assertEqual(status, 1)
            self.assertIn(why, output)


if __name__ == '__main__':
    unittest.main(defaultTest='MachineCodeTest')
