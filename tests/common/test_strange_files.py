"""FIFOs, devices and links in place of files; files' modes; and what a file's words may do to a terminal."""
import logging
import os
import shutil
import subprocess
import sys

import pytest
from formats import READ

from tests.conftest import PROJECT
from tools import compare
from utils.common.cli import run_tool
from utils.common.errors import LONGEST_LINE, InputError, bearable
from utils.common.files import open_regular, read_json, read_regular, remove_leftovers, write_text
from utils.common.output import RunLog, log_to_terminal, steady_output
from utils.report.tables import Heading, Notes, Table, markdown, terminal


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def zeros(path):
    path.unlink(missing_ok=True)
    path.symlink_to('/dev/zero')


@pytest.mark.parametrize('strange', [fifo, zeros])
@pytest.mark.parametrize('name', READ)
def test_no_reader_waits_for_a_fifo_or_reads_a_device(name, strange, valid, tmp_path):
    shutil.copytree(valid, tmp_path, dirs_exist_ok=True)
    strange(tmp_path / name)
    with pytest.raises(InputError, match='is no regular file'):
        READ[name](tmp_path / name)


@pytest.mark.parametrize('strange', [fifo, zeros])
@pytest.mark.parametrize('read', [open_regular, read_regular, read_json])
def test_strange_files_are_named(read, strange, tmp_path):
    strange(tmp_path / 'file')
    with pytest.raises(OSError, match='is no regular file') as error:
        read(tmp_path / 'file')
    assert error.value.filename == str(tmp_path / 'file')


def test_a_leftover_that_is_a_fifo_is_not_waited_for(tmp_path):
    fifo(tmp_path / '.x.unfinished')
    remove_leftovers(tmp_path)


@pytest.mark.parametrize('strange', [fifo, lambda path: path.symlink_to(path.with_name('elsewhere'))])
def test_the_log_goes_to_no_fifo_and_through_no_link(strange, tmp_path):
    (tmp_path / 'elsewhere').write_text('theirs')
    strange(tmp_path / 'train.log')
    log = RunLog()
    log.open(tmp_path)
    log.add('a line')
    assert (tmp_path / 'elsewhere').read_text() == 'theirs'


@pytest.mark.parametrize('umask', [0o022, 0o077, 0o002])
def test_a_file_has_the_mode_that_a_plain_open_gives(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_text(tmp_path / 'ours', 'x')
        (tmp_path / 'plain').write_text('x')
    finally:
        os.umask(before)
    assert (tmp_path / 'ours').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_an_own_cache_is_read_whatever_the_umask_says():
    code = '''
import os, sys, tempfile
from pathlib import Path
os.umask(0o002)
import numpy as np
from utils.data.cache import read_cache, write_cache
from utils.data.skeleton import CMU
os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp()
root = Path(tempfile.mkdtemp())
(root / 'a').write_text('x')
write_cache(root, 'train', ['a'], CMU, [('a', np.zeros((2, 38, 3), np.float32))])
assert read_cache(root, 'train', ['a'], CMU)
'''
    subprocess.run([sys.executable, '-c', code], check=True, env=os.environ | {'PYTHONPATH': str(PROJECT)})


@pytest.mark.parametrize('old, new, said', [
    ('"output_n": 10', '"output_n": 0', 'output_n: 0'),
    ('"output_n": 10', '"output_n": true', 'output_n: True'),
    ('"protocol": "all"', '"protocol": "9"', 'protocol'),
    ('"input_n": 10', f'"input_n": 1{"0" * 400}', 'input_n: a huge whole number'),
    ('"epoch": 3', '"epoch": null', 'epoch: None'), ('[0.0, ', '[1e999, ', 'inf'),
    ('[0.0, ', '[[], ', 'a list'), ('"sample": false', '"sample": "no"', 'sample'),
    ('"windows": {', '"windows": {"\\u001b[2J": 3, ', 'windows'), ('{', '[' * 100_000, 'recursion')])
def test_results_of_another_kind_are_one_line(old, new, said, valid, tmp_path, capsys):
    text = (valid / 'own.json').read_text()
    assert old in text
    (tmp_path / 'own.json').write_text(text.replace(old, new, 1))
    assert run_tool(compare.main, [str(tmp_path / 'own.json')]) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1 and said in line and str(tmp_path / 'own.json') in line and len(line) < 600


@pytest.mark.parametrize('text', ['1,nan,1,1\n', '1,inf,1,1\n', '1,1_0,1,1\n', '1,x,1,1\n', '1,2,3,4,5\n',
                                  '\x00', '"' + 'x' * 200_000])
def test_a_history_of_another_kind_is_one_line(text, valid, tmp_path, capsys):
    shutil.copy(valid / 'own.json', tmp_path / 'results.json')
    (tmp_path / 'history.csv').write_text(f'epoch,validation,windows_per_s,seconds\n{text}')
    assert run_tool(compare.main, [str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1 and str(tmp_path / 'history.csv') in line


EVIL = 'a\x1b[2J|b<img src=x>[c](http://d)\u202e'


def test_words_from_files_move_no_cursor_and_are_no_markup():
    page = [Heading(EVIL), Notes([EVIL]), EVIL, Table([[EVIL], [EVIL]])]
    for text in (markdown(page), terminal(page, 200)):
        assert '\x1b' not in text and '\u202e' not in text
    assert '<img' not in markdown(page) and '](' not in markdown(page) and 'a\\x1b[2J\\|b' in markdown(page)


def test_what_is_printed_and_logged_is_escaped(capsys):
    with steady_output():
        log_to_terminal()
        print(EVIL)
        logging.getLogger('ksof').warning('%s', EVIL)
    shown = capsys.readouterr()
    assert 'a\\x1b[2J|b' in shown.out and 'a\\x1b[2J|b' in shown.err
    assert '\x1b' not in shown.out + shown.err and shown.out.endswith('\n')


def test_an_error_is_no_longer_than_a_terminal_bears():
    line = bearable(f'error: {"x" * 100_000}: do this')
    assert len(line) < LONGEST_LINE and line.startswith('error: xxx') and line.endswith('x: do this')
