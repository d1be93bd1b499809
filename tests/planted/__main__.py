"""Plants bugs into copies of runtime/cuda and lets the tests of the operations look for them; a bug that is not found fails, and so does one that
is found by something else than bugs.py says.

    planted FOLDER [NAME…]      of the build; bugs whose names hold such a text, all without

Each bug gets a libheadroom_cuda.so of its own, made by the commands of the build with one object replaced. LD_LIBRARY_PATH puts it before the real
one; the test program is the one that tests the real one."""
import os
import pathlib
import subprocess
import sys
import tempfile

from bugs import BUGS, NUMBERS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBRARY = 'lib/libheadroom_cuda.so'


class Build:
    """The commands by which ninja makes the library."""

    def __init__(self, folder):
        self.folder = folder
        lines = subprocess.run(['ninja', '-t', 'commands', LIBRARY], cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
        # By source. What stands beside a compilation (a change of folder, notes for ninja) is no part of it: paths are whole.
        self.compile = {}
        for line in lines:
            for part in line.split(' && '):
                if ' -c ' in part:
                    self.compile[self.after('-c', part)] = f'{part} '
        self.link = lines[-1]

    @staticmethod
    def after(option, command):
        words = command.split()
        return words[words.index(option) + 1]

    def run(self, command):
        result = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f'{command}\n{result.stdout}{result.stderr}')

    def plant(self, bug, folder):
        """A library with the bug, in `folder`."""
        source = ROOT / 'runtime/cuda' / bug.unit
        command = self.compile[str(source)]
        planted = folder / 'runtime/cuda' / bug.file
        planted.parent.mkdir(parents=True)
        text = (ROOT / 'runtime/cuda' / bug.file).read_text(encoding='utf-8')
        if text.count(bug.text) != 1:
            raise RuntimeError(f'{bug.file} has {text.count(bug.text)} times what is to be replaced')
        planted.write_text(text.replace(bug.text, bug.replacement), encoding='utf-8')
        unit = folder / 'runtime/cuda' / bug.unit
        if not unit.exists():
            unit.write_text(source.read_text(encoding='utf-8'), encoding='utf-8')
        old, new = self.after('-o', command), str(folder / 'planted.o')
        # The planted file is found before the one of the tree; nothing of the real build is written.
        self.run(command.replace(f' -c {source} ', f' -c {unit} ').replace(old, new).replace(' -I', f' -I{folder} -I', 1))
        library = self.after('-o', self.link)
        linked = os.path.relpath(self.folder / old, self.folder)
        self.run(self.link.replace(f' -o {library} ', f' -o {folder / pathlib.Path(library).name} ').replace(f' {linked} ', f' {new} '))


def find(build, bug, folder):
    """'' when the tests find the bug as they should, else what is wrong."""
    environment = os.environ | {
        'LD_LIBRARY_PATH': f'{folder}:{build.folder}/emulation/lib', 'EMULATED_GPU_MEMORY': '1GiB', 'EMULATED_GPU_STREAMS': 'late',
        'HEADROOM_ALLOCATION_GUARD': 'off', 'HEADROOM_TEST_DEVICE': 'cuda', 'OMP_WAIT_POLICY': 'passive'}
    result = subprocess.run([build.folder / 'tests/runtime_ops', f'--file=runtime/ops/{bug.test}', f'--gtest_filter={bug.filter}', '--gtest_fail_fast'],
                            env=environment, capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    faults = [line for line in output.splitlines() if line.startswith('emulated GPU')]
    print(f'{bug.file}: {bug.name}: {(faults or ["wrong numbers" if result.returncode else "NOT FOUND"])[0][:160]}', flush=True)
    if result.returncode == 0:
        return f'{bug.file}: {bug.name}: {bug.filter} did not find it'
    if bug.says == NUMBERS and faults:
        return f'{bug.file}: {bug.name}: wanted wrong numbers, the card said: {faults[0]}'
    if bug.says != NUMBERS and not any(bug.says in fault for fault in faults):
        return f'{bug.file}: {bug.name}: nobody said "{bug.says}": {faults or output[-2000:]}'
    return ''


def main(folder, *words):
    build = Build(pathlib.Path(folder).resolve())
    findings = []
    for bug in BUGS:
        if words and not any(word in bug.name for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix='planted-') as place:
            try:
                build.plant(bug, pathlib.Path(place))
                findings.append(find(build, bug, pathlib.Path(place)))
            except (KeyError, OSError, RuntimeError) as error:
                findings.append(f'{bug.file}: {bug.name}: {error!r}')
    findings = [finding for finding in findings if finding]
    print('\n'.join(findings))
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
