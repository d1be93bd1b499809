"""Reports of an emulated card are written here, and what is wrong in them must be named. `python3 tools/kernel_runs/kernel_runs_test.py`"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parent
PTX = '.version 8.0\n.target sm_80\n.address_size 64\n'


def library(*kernels):
    """As nvcc embeds PTX."""
    text = (PTX + ''.join(f'.visible .entry {kernel}(\n)\n{{ ret; }}\n' for kernel in kernels)).encode() + b'\0'
    entry = struct.pack('<HHIQ12xI8xQ16x', 1, 0x101, 64, len(text), 80, 0) + text
    return b'code' + struct.pack('<IHHQ', 0xba55ed50, 1, 16, len(entry)) + entry


def report(function, instructions, missed):
    return json.dumps({'function': function, 'instructions': instructions, 'missed': [[number, '/a/b.cu', 7, 'add.s32'] for number in missed]}) + '\n'


class KernelRunsTest(unittest.TestCase):

    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.folder = pathlib.Path(self.place.name)

    def run_tool(self, *arguments):
        result = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, '')
        return result.returncode, result.stdout

    def coverage(self, kernels, reports, least=95, each=80):
        (self.folder / 'library').write_bytes(library(*kernels))
        paths = []
        for number, text in enumerate(reports):
            paths.append(self.folder / f'{number}.json')
            paths[-1].write_text(text, encoding='utf-8')
        return self.run_tool('coverage', '--library', self.folder / 'library', '--at-least', least, '--each', each, *paths)

    def test_what_one_run_misses_another_may_execute(self):
        status, output = self.coverage(['Copy'], [report('Copy', 10, [1, 2, 3]), report('Copy', 10, [4, 5])])
        self.assertEqual(status, 0, output)
        self.assertIn('10 of     10  100.0 %', output)

    def test_missed_lines_are_named(self):
        status, output = self.coverage(['Copy', 'Add'], [report('Copy', 10, [1, 2, 3]) + report('Add', 90, [])])
        self.assertEqual(status, 1)
        self.assertIn('Copy: 70.0 % of its instructions were executed, at least 80.0 % are wanted; not executed: b.cu:7 (3)', output)
        self.assertIn('all: 97 of 100 instructions, 97.0 %', output)
        status, output = self.coverage(['Copy', 'Add'], [report('Copy', 10, [1]) + report('Add', 10, [1])])
        self.assertEqual(status, 1)
        self.assertIn('90.0 % of all instructions were executed, at least 95.0 % are wanted; not executed: b.cu:7 (2)', output)

    def test_kernels_that_never_ran(self):
        status, output = self.coverage(['Copy', 'Add'], [report('Copy', 10, [])])
        self.assertEqual(status, 1)
        self.assertIn('Add never ran', output)

    def test_reports_that_are_missing_or_of_another_build(self):
        status, output = self.coverage(['Copy'], [report('Copy', 10, []), report('Copy', 11, [])])
        self.assertEqual(status, 1)
        self.assertIn('different builds', output)
        status, output = self.run_tool('coverage', '--library', self.folder / 'library', '--at-least', 95, '--each', 80, self.folder / 'none.json')
        self.assertEqual(status, 1)
        self.assertIn('none.json: no report', output)

    def counters(self, limits, ends=0, **counted):
        figures = {'kernel': 'Copy', 'launches': 2, 'warp_instructions': 1500, 'global_sectors': 12, 'global_ideal_sectors': 10, 'shared_requests': 0,
                   'shared_waves': 0, 'matrix_requests': 4, 'matrix_waves': 6} | counted
        (self.folder / 'limits.txt').write_text(limits, encoding='utf-8')
        program = self.folder / 'program.py'
        program.write_text(f'import os, sys\nopen(os.environ["EMULATED_GPU_COUNTERS"], "w").write({json.dumps(figures)!r})\nsys.exit({ends})\n', encoding='utf-8')
        return self.run_tool('counters', '--limits', self.folder / 'limits.txt', '--', sys.executable, program)

    def test_counters_within_their_limits_pass(self):
        for limits in ('Copy  2  1.5  1.20  1.50', 'C*  2  *  *  *'):
            status, output = self.counters(limits)
            self.assertEqual(status, 0, output)
        status, output = self.counters('Copy  2  1.5  1.20  -', matrix_requests=0, matrix_waves=0)
        self.assertEqual(status, 0, output)

    def test_each_counter_above_its_limit_is_named(self):
        for limits, finding in (('Copy  1  2  2  2', 'Copy: 2 launches, limit 1 (line 1)'), ('Copy  2  1.4  2  2', '1.5 thousand warp instructions, limit 1.4'),
                                ('Copy  2  2  1.10  2', '1.20 sectors for each at best, limit 1.1'), ('Copy  2  2  2  1.40', '1.50 waves an access, limit 1.4'),
                                ('Copy  2  2  2  -', '1.50 waves an access, limit none at all'), ('Gone  2  2  2  2', 'Copy: no limit'),
                                ('Copy  2  2  2  2\nGone  1  1  1  1', 'line 2: no kernel that ran is called Gone'), ('Copy  2  2  2', 'line 1 is no')):
            status, output = self.counters(limits)
            self.assertEqual(status, 1, output)
            self.assertIn(finding, output)

    def test_a_program_that_fails(self):
        status, output = self.counters('Copy  2  2  2  2', ends=3)
        self.assertEqual(status, 1)
        self.assertIn('ended with 3', output)


if __name__ == '__main__':
    unittest.main(defaultTest='KernelRunsTest')
