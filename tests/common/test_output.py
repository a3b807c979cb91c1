"""Output that nobody reads, or that cannot be written, ends nothing; train.log keeps what was said."""
import errno
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from utils.common import files, output
from utils.common.cli import Ended, exit_code, tool_parser, verdict
from utils.common.errors import DivergedError, InputError, Stopped


class Gone:
    """A stream whose reader has ended."""

    def __init__(self, number=errno.EPIPE):
        self.number = number

    def write(self, text=''):
        raise OSError(self.number, os.strerror(self.number))

    flush = write

    def isatty(self):
        return False

    def fileno(self):
        raise io.UnsupportedOperation


def test_stderr_that_goes_away_ends_nothing(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Gone())
    done = []

    def work():
        output.log_to_terminal()
        logging.getLogger('ksof').info('said to nobody')
        print('nor this', file=sys.stderr)
        done.append(True)

    assert exit_code(work) == 0 and done


@pytest.mark.parametrize('number, code, said',
                         [(errno.EPIPE, 141, ''), (errno.ENOSPC, 1, 'No space left on device')])
def test_stdout_that_goes_away_is_said_by_the_exit_code(number, code, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdout', Gone(number))
    assert exit_code(lambda: print('a table')) == code
    assert said in capsys.readouterr().err


CLOSED = '''
import os, sys
from utils.common.cli import exit_code
def work():
    with open(sys.argv[1], 'w') as file:
        os.write(2, b'a library speaks')
        print('so do we', file=sys.stderr)
        file.write('content')
sys.exit(exit_code(work))
'''


def test_a_program_without_stderr_and_stdin_writes_its_files_unharmed(tmp_path):
    words = [sys.executable, '-c', CLOSED, str(tmp_path / 'file')]
    done = subprocess.run(['sh', '-c', 'exec "$@" 2>&- <&-', 'sh', *words], cwd=PROJECT)
    assert done.returncode == 0 and (tmp_path / 'file').read_text() == 'content'


def test_a_pipe_whose_reader_ended_before(tmp_path):
    work = "import sys; from utils.common.cli import exit_code; " \
           "sys.exit(exit_code(lambda: [print(n, file=sys.stderr) for n in range(3000)] and None))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, '-c', work], cwd=PROJECT, stderr=write)
    os.close(write)
    assert done.returncode == 0


def test_what_an_encoding_has_not_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(raw, encoding='ascii'))
    assert exit_code(lambda: print('20 mm², caf\udce9')) == 0
    assert raw.getvalue() == b'20 mm\\xb2, caf\\udce9\n'


def test_text_files_are_utf_8_whatever_the_name(tmp_path):
    files.write_text(tmp_path / 'page.md', 'mm², caf\udce9')
    assert (tmp_path / 'page.md').read_bytes() == 'mm², caf\\udce9'.encode()


@pytest.mark.parametrize('filename', [None, 'temporary'])
def test_a_full_disk_names_the_file(filename, tmp_path):
    with pytest.raises(OSError) as raised, files.whole_file(tmp_path / 'results.md') as temporary:
        raise OSError(errno.ENOSPC, 'No space left on device', *[str(temporary)] * (filename is not None))
    assert raised.value.filename == str(tmp_path / 'results.md') and not list(tmp_path.iterdir())
    assert verdict(raised.value, '', '') == (1, f'error: {tmp_path}/results.md: No space left on device')


@pytest.mark.parametrize('error, code, line', [
    (InputError('a: b'), 2, 'error: a: b'), (DivergedError('nan'), 1, 'error: nan'),
    (MemoryError(), 1, 'error: MEMORY'), (RuntimeError('[enforce fail at alloc_cpu.cpp:1] err == 0. '
                                                       'DefaultCPUAllocator: can\'t allocate memory: you '
                                                       'tried to allocate 9 bytes. Error code 12 (Cannot '
                                                       'allocate memory)'), 1, 'error: MEMORY'),
    (Stopped(10, 'stopped in epoch 1'), 138, 'stopped in epoch 1; the same command with --is_load goes on'),
    (Ended(signal.SIGTERM), 143, 'SIGTERM: STOPPED'), (KeyboardInterrupt(), 130, '\nSTOPPED'),
    (FileNotFoundError(errno.ENOENT, 'No such file', 'x'), 2, 'error: x: No such file'),
])
def test_the_line_and_the_code_of_what_ends_a_command(error, code, line):
    assert verdict(error, 'MEMORY', 'STOPPED') == (code, line)


def test_what_nobody_has_thought_of_keeps_its_traceback():
    for error in (RuntimeError('mat1 and mat2'), TypeError('x')):
        with pytest.raises(type(error)):
            exit_code(lambda error=error: (_ for _ in ()).throw(error))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_while_reading_or_evaluating_cleans_up(number, tmp_path, capsys):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip('the tests were started with this signal ignored, as by nohup')
    def work():
        with files.whole_file(tmp_path / 'table'):
            signal.raise_signal(number)

    assert exit_code(work) == 128 + number
    assert capsys.readouterr().err == f'{signal.Signals(number).name}: stopped\n'
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) is signal.SIG_DFL


def test_the_log_keeps_what_was_said_from_the_start_and_is_appended(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['main.py', '--exp', 'a b'])
    log = logging.getLogger('ksof')

    def work(word):
        output.log_to_terminal()
        log.warning('before the folder is there: %s', word)
        output.log_to(tmp_path)
        log.info('epoch 1/2')
        raise InputError(word)

    for word in ('one', 'two\udce9'):
        assert exit_code(lambda word=word: work(word)) == 2
        log.info('what a series says between its runs')
    lines = (tmp_path / 'train.log').read_text(encoding='utf-8').splitlines()
    assert [line[22:] if line.startswith('# ') else line for line in lines] == [
        "main.py --exp 'a b'", 'before the folder is there: one', 'epoch 1/2', 'error: one',
        "main.py --exp 'a b'", 'before the folder is there: two\\udce9', 'epoch 1/2', 'error: two\\udce9']


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path):
    def work():
        output.log_to_terminal()
        output.log_to(tmp_path / 'absent')
        logging.getLogger('ksof').info('epoch 1/2')

    assert exit_code(work) == 0


@pytest.mark.parametrize('given, missing', [({}, 'RANK, WORLD_SIZE, LOCAL_RANK'),
                                            ({'RANK': '0', 'WORLD_SIZE': 'two', 'LOCAL_RANK': '0'},
                                             'WORLD_SIZE')])
def test_half_of_torchruns_variables(given, missing, monkeypatch, capsys):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({'TORCHELASTIC_RUN_ID': 'none'} | given).items():
        monkeypatch.setenv(name, value)

    from utils.common import distributed

    def work():
        with distributed.process_group():
            pass

    assert exit_code(work) == 2
    assert capsys.readouterr().err == (f'error: TORCHELASTIC_RUN_ID is set as by torchrun, but {missing} is '
                                       'no number: start with torchrun, or unset TORCHELASTIC_RUN_ID\n')


HELP = '''
import resource, sys
from main_cmu_3d import DATASET, DEFAULTS
from utils.start import main
for words in (['--help'], ['--data_dir', 'x', '--epoch', 'zero'], ['--data_dir', 'x', '--epochs', '3']):
    try:
        print(main(DATASET, DEFAULTS, words), file=sys.stderr)
    except SystemExit as end:
        print(end.code, file=sys.stderr)
loaded = {'torch', 'scipy', 'h5py', 'matplotlib', 'utils.run'} & set(sys.modules)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(sorted(loaded), usage.ru_utime + usage.ru_stime, file=sys.stderr)
'''


def test_help_and_wrong_options_do_not_wait_for_torch():
    done = subprocess.run([sys.executable, '-c', HELP], cwd=PROJECT, capture_output=True, text=True)
    ok, zero, two, hint, two_again, loaded = done.stderr.splitlines()
    assert (ok, two, two_again) == ('0', '2', '2') and zero.startswith('error: argument --epoch: ')
    assert 'did you mean --epoch' in hint
    modules, seconds = loaded.rsplit(' ', 1)
    assert modules == '[]' and float(seconds) < 1.5  # 0.35 s of processor time where nothing else runs
    text = done.stdout.splitlines()
    assert text[0].endswith(' --data_dir DATA_DIR [options]') and text[1] == ''
    assert 'beyond the paper:' in text and text.index('beyond the paper:') > text.index('training:')
    assert text[-7] == 'examples:' and text[-1].strip() == 'scores its best epoch again'


def test_make_alone_prints_its_targets():
    make = shutil.which('make')
    if not make:
        pytest.skip('make is not installed')
    shown = subprocess.run([make], cwd=PROJECT, capture_output=True, text=True).stdout
    targets = re.search(r'\.PHONY: help (.*)', (PROJECT / 'Makefile').read_text())[1].split()
    assert all(f'make {target} ' in shown for target in targets) and '.venv/bin' not in shown


def test_usage_is_one_line():
    parser = tool_parser('Does something.', '  tool FILE')
    parser.add_argument('file', metavar='FILE')
    parser.add_argument('more', metavar='MORE', nargs='+')
    parser.add_argument('--out', metavar='DIR', required=True)
    parser.add_argument('--fps')
    text = parser.format_help().splitlines()
    assert text[0].endswith(' FILE MORE [MORE ...] --out DIR [options]') and text[1] == ''
    assert text[-2:] == ['examples:', '  tool FILE']
