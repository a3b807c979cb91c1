"""Changes the meaning of the code in one place at a time and looks whether a test notices.

    python tests/mutate.py [--only TEXT ...] [--results FILE] [--no_check]

The changes are those of tests/mutations.py. Each is made in a copy of the tree in a temporary folder, with no
../shared beside it, and the tests of its room run there until one fails. The result is a table; a survivor is
a change that no test noticed.
--only takes the changes whose file or rule holds one of the texts. --results keeps what is done in a file, a
line of JSON for each change, and leaves out what is there already: so a long run can be done in pieces.
--no_check leaves out that the tests are run without any change first.
Exit code: 0 if at most 2 in 100 survive, 1 if more, 2 if a text to change is not in its file once or the
tests fail unchanged.
"""
import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from mutations import CHANGES

PROJECT = Path(__file__).resolve().parents[1]
BUILD, SCORING = 'tests/test_build.py', 'tests/evaluate/test_scoring.py'
CHOICES, RECIPE, RUN = (f'tests/train/test_{name}.py' for name in ('choices', 'recipe', 'run'))
BEST_EPOCH = (f'{CHOICES}::test_the_best_epoch_is_that_of_the_lowest_validation_error_'
              'and_not_of_training')
STOPS = f'{RECIPE}::test_a_stop_in_an_epoch_leaves_no_trace_with_all_of_it'
ROWS = 'tests/model/test_baseline_rows.py'
DATA = [f'tests/data/test_{name}.py' for name in ('skeleton', 'kinematics', 'windows', 'augment', 'readers')]


def model_tests(*names):
    return [f'tests/model/test_{name}.py' for name in names]


# The start of a file's path -> the tests that its changes must be noticed by, the quickest first.
TESTS = {
    'model/dct.py': model_tests('dct', 'independent', 'pinned'),
    'model/losses.py': model_tests('losses', 'figure', 'pinned'),
    'model/': model_tests('figure', 'model', 'pinned', 'independent'),
    'utils/common/checkpoint.py': [BEST_EPOCH, CHOICES, RUN],
    'utils/train/state.py': [BEST_EPOCH, STOPS, CHOICES, RECIPE, RUN],
    'utils/train/': [CHOICES, 'tests/train/test_shares.py', RECIPE, RUN],
    'utils/run.py': [CHOICES, 'tests/train/test_run_folder.py', RECIPE, RUN],
    'utils/build.py': [BUILD, CHOICES, RECIPE, RUN],
    'utils/evaluate/paired.py': ['tests/evaluate/test_paired.py'],
    'utils/evaluate/': ['tests/evaluate/test_metrics.py', SCORING, 'tests/data/test_augment.py', CHOICES,
                        RECIPE, ROWS],
    'utils/data/': [*DATA, CHOICES, ROWS],
}
CPU_SECONDS = 600  # of one change's tests; one that never ends is noticed too
LEFT_OUT = shutil.ignore_patterns('.git', '.venv', '__pycache__', '.*_cache', '.hypothesis', 'checkpoint')


def all_changes(only):
    """(file, rule, old text, new text) of the chosen changes."""
    for file, changes in CHANGES.items():
        for rule, old, new in changes:
            if not only or any(text in f'{file}: {rule}' for text in only):
                yield file, rule, old, new


def misplaced():
    """Says of each change whose text to change does not stand in its file once."""
    for file, rule, old, _ in all_changes([]):
        path = PROJECT / file
        count = path.read_text().count(old) if path.exists() else 0
        if count != 1:
            yield f'{file}: {rule}: the text to change is there {count} times: {old!r}'


def tests_of(file):
    return next(tests for start, tests in TESTS.items() if file.startswith(start))


def import_what_tests_need():
    """Imports the libraries once for all changes: each is tried in a fork of this process."""
    import h5py  # noqa: F401
    import hypothesis  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import numpy.testing  # noqa: F401
    import pytest  # noqa: F401
    import scipy.fft
    import scipy.spatial.transform  # noqa: F401
    import torch.nn.utils.parametrizations
    import torch.optim.swa_utils

    torch.set_num_threads(1)


class FirstFailure:
    """A pytest plugin that keeps the first test that fails, or the file that does not import."""

    name = None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.name is None:
            self.name = report.nodeid

    def pytest_collectreport(self, report):
        self.pytest_runtest_logreport(report)


def run_tests(tree, tests, answer):
    """In a process of its own: runs the tests of a tree until one fails, and sends that one's name."""
    import pytest

    os.chdir(tree)
    sys.path = [entry for entry in sys.path if not Path(entry or '.').resolve().is_relative_to(PROJECT)
                or '.venv' in entry]
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    sys.dont_write_bytecode = True  # a file that changes twice in a second would be taken for the same
    with (tree.parent / 'output').open('w') as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        failure = FirstFailure()
        words = ['-x', '-p', 'no:cacheprovider', f'--rootdir={tree}', f'--basetemp={tree.parent}/tmp', *tests]
        code = pytest.main(words, plugins=[failure])
        answer.send((int(code), failure.name))
        sys.stdout.flush()


def first_failure(tree, tests):
    """Returns the name of the first test that fails in a tree, or None where all pass."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context('fork').Process(target=run_tests, args=(tree, tests, send))
    process.start()
    send.close()
    process.join()
    if process.exitcode:
        return 'no end, or a crash'
    code, name = receive.recv()
    return name or (f'pytest ends with {code}' if code else None)


def try_change(tree, file, old, new):
    """Makes a change in the tree, runs its tests, and takes it back. Returns what `first_failure` does."""
    path = tree / file
    before = path.read_text()
    path.write_text(before.replace(old, new))
    try:
        return first_failure(tree, tests_of(file))
    finally:
        path.write_text(before)


def table(results):
    """Returns the results as Markdown: how many changes were noticed, and every change, survivors last."""
    lines = ['| file | changes | noticed |', '|---|--:|--:|']
    for file in dict.fromkeys(result['file'] for result in results):
        own = [result['noticed_by'] is not None for result in results if result['file'] == file]
        lines.append(f'| {file} | {len(own)} | {sum(own)} |')
    lines += ['', '| file | rule that the change breaks | noticed by |', '|---|---|---|']
    for result in sorted(results, key=lambda result: result['noticed_by'] is None):
        test = (result['noticed_by'] or '**nothing**').split('::')[-1].split('[')[0]
        lines.append(f'| {result["file"]} | {result["rule"]} | {test} |')
    survived = sum(result['noticed_by'] is None for result in results)
    return '\n'.join([*lines, '', f'{len(results)} changes, {survived} survived.'])


def main(argv=None):
    parser = argparse.ArgumentParser(description='Tries changes of meaning, reports what no test notices.')
    parser.add_argument('--only', nargs='+', default=[], metavar='TEXT')
    parser.add_argument('--results', type=Path)
    parser.add_argument('--no_check', action='store_true')
    options = parser.parse_args(argv)
    if problems := list(misplaced()):
        print('\n'.join(problems), file=sys.stderr)
        return 2
    chosen = list(all_changes(options.only))
    kept = options.results.read_text().splitlines() if options.results and options.results.exists() else []
    done = {tuple(result[name] for name in ('file', 'rule', 'old', 'new')): result
            for result in map(json.loads, kept)}
    import_what_tests_need()
    with tempfile.TemporaryDirectory(prefix='mutate_') as folder:
        tree = Path(folder) / 'project'
        shutil.copytree(PROJECT, tree, ignore=LEFT_OUT)
        checked = set()
        for change in chosen:
            file, rule, old, new = change
            if change in done:
                continue
            tests = tuple(tests_of(file))
            unchecked = not options.no_check and tests not in checked
            if unchecked and (failed := first_failure(tree, tests)):
                output = (tree.parent / 'output').read_text()
                print(f'{failed} fails without any change:\n{output[-3000:]}', file=sys.stderr)
                return 2
            checked.add(tests)
            started = time.monotonic()
            noticed_by = try_change(tree, file, old, new)
            done[change] = {'file': file, 'rule': rule, 'old': old, 'new': new, 'noticed_by': noticed_by,
                            'seconds': round(time.monotonic() - started, 1)}
            print(f'{file}: {rule}: {noticed_by or "NOT NOTICED"}', file=sys.stderr, flush=True)
            if options.results:
                with options.results.open('a') as results:
                    results.write(json.dumps(done[change]) + '\n')
    results = [done[change] for change in chosen]
    print(table(results))
    return int(sum(result['noticed_by'] is None for result in results) > 0.02 * len(results))


if __name__ == '__main__':
    sys.exit(main())
