"""Kernels that take too much are written here, and each must be named for what it takes. Needs ptxas: PTXAS, or the path's; without it exits with 77.

    python3 tools/kernel_resources/kernel_resources_test.py
"""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parent
PTXAS = shutil.which(os.environ.get('PTXAS', 'ptxas'))

HEAD = '.version 8.0\n.target sm_80\n.address_size 64\n'
PLAIN = '.visible .entry Plain(.param .u64 p) {\n  ret;\n}\n'
# An array whose index is known at run time only.
FRAME = '''.visible .entry Frame(.param .u64 p) {
  .local .align 4 .b8 array[64];
  .reg .b32 %r<4>; .reg .b64 %d<9>; .reg .pred %q;
  mov.u32 %r0, %tid.x; mul.wide.u32 %d0, %r0, 4; mov.u64 %d1, array; add.u64 %d2, %d1, %d0;
  st.local.u32 [%d1+4], %r0; st.local.u32 [%d2], 7; ld.local.u32 %r1, [%d1+4];
  ld.param.u64 %d3, [p]; cvta.to.global.u64 %d4, %d3; st.global.u32 [%d4], %r1; ret;
}
'''


def busy(name, values, limit=''):
    """A kernel that holds so many values at once."""
    registers = range(values)
    return (f'.visible .entry {name}(.param .u64 p) {limit} {{\n  .reg .b32 %r<{values + 1}>; .reg .b64 %d<3>;\n'
            '  ld.param.u64 %d0, [p]; cvta.to.global.u64 %d1, %d0;\n' +
            ''.join(f'  ld.volatile.global.u32 %r{k}, [%d1+{4 * k}];\n' for k in registers) +
            ''.join(f'  st.volatile.global.u32 [%d1+{4 * k}], %r{values - 1 - k};\n' for k in registers) + '  ret;\n}\n')


def fat_binary(entries, flags=0):
    """As nvcc embeds it: {target: text} among other bytes."""
    body = b''
    for target, text in entries.items():
        data = text.encode() + b'\0'
        body += struct.pack('<HHIQ12xI8xQ16x', 1, 0x101, 64, len(data), target, flags) + data
    return b'\x7fELF and code' + struct.pack('<IHHQ', 0xba55ed50, 1, 16, len(body)) + body + b'data'


class KernelResourcesTest(unittest.TestCase):

    def run_tool(self, limits, files, *options):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / 'limits.txt').write_text(limits, encoding='utf-8')
            for name, data in files.items():
                (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
            result = subprocess.run([sys.executable, TOOL, '--limits', folder / 'limits.txt', '--ptxas', PTXAS, *options, '--',
                                     *[folder / name for name in files]], capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, '')
        return result.returncode, result.stdout

    def test_kernels_within_their_limits_pass(self):
        status, output = self.run_tool('Plain  *  16\nBusy*  80  128\n', {'a.ptx': HEAD + PLAIN + busy('Busy', 60)})
        self.assertEqual(status, 0, output)
        self.assertIn('Plain ', output)

    def test_registers_above_the_limit(self):
        status, output = self.run_tool('Busy  *  40\n', {'a.ptx': HEAD + busy('Busy', 60)})
        self.assertEqual(status, 1)
        self.assertRegex(output, r'Busy for sm_80: \d+ registers, limit 40 \(line 1\)')

    def test_stack_frame(self):
        status, output = self.run_tool('Frame  *  40\n', {'a.ptx': HEAD + FRAME})
        self.assertEqual(status, 1)
        self.assertIn('Frame for sm_80: a stack frame of 64 bytes, limit 0', output)
        self.assertEqual(self.run_tool('Frame  *  40  64\n', {'a.ptx': HEAD + FRAME})[0], 0)

    def test_spills(self):
        status, output = self.run_tool('Busy  *  32  999\n', {'a.ptx': HEAD + busy('Busy', 60, '.maxnreg 32')})
        self.assertEqual(status, 1)
        self.assertRegex(output, r'Busy for sm_80: \d+ bytes of spills')

    def test_kernels_without_limits_and_limits_without_kernels(self):
        status, output = self.run_tool('# none\nGone  *  16\n', {'a.ptx': HEAD + PLAIN})
        self.assertEqual(status, 1)
        self.assertIn('Plain for sm_80: no limit', output)
        self.assertIn('line 2: no kernel is called Gone', output)

    def test_templates_are_found_by_their_arguments(self):
        ptx = HEAD + PLAIN.replace('Plain', '_ZN12_GLOBAL__N_15FlashILi72ELb1EEEvPi')
        status, output = self.run_tool('Flash<64, *>  *  16\nFlash<72, *>  *  1\n', {'a.ptx': ptx})
        self.assertEqual(status, 1)
        self.assertRegex(output, r'Flash<72, true> for sm_80: \d+ registers, limit 1 \(line 2\)')

    def test_an_object_is_assembled_as_a_driver_would(self):
        newer = (HEAD + busy('Plain', 60)).replace('sm_80', 'sm_90')
        status, output = self.run_tool('Plain  *  16\n', {'a.o': fat_binary({80: HEAD + PLAIN, 90: newer})}, '--architectures', '80', '86', '90')
        self.assertEqual(status, 1)
        self.assertEqual([line.split(':')[1].strip() for line in output.splitlines() if 'limit' in line], ['Plain for sm_90'])

    def test_files_that_cannot_be_looked_into(self):
        for data, why in ((b'no fat binary', 'no PTX'), (fat_binary({80: HEAD + PLAIN}, 0x2000), 'compressed'),
                          (fat_binary({80: HEAD + 'nonsense'}), 'ptxas for sm_80')):
            status, output = self.run_tool('Plain  *  16\n', {'a.o': data})
            self.assertEqual(status, 1)
            self.assertIn(why, output)
        status, output = self.run_tool('Plain 16\n', {'a.ptx': HEAD + PLAIN})
        self.assertIn('line 1 is no', output)


if __name__ == '__main__':
    if PTXAS is None:
        print('skipped: no ptxas')
        sys.exit(77)
    unittest.main(defaultTest='KernelResourcesTest')
