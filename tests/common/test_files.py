"""Files that are whole or not there, whoever is killed while writing them."""
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from utils.common.files import remove_leftovers, whole_file, write_text

# A writer that says it is in the middle of its file, and stays there.
WRITER = """
import sys, time
from pathlib import Path
from utils.common.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text('half')
    print('writing', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    path = tmp_path / 'inner' / 'result.txt'
    path.parent.mkdir()
    path.write_text('before')
    process = subprocess.Popen([sys.executable, '-c', WRITER, path], cwd=PROJECT, stdout=subprocess.PIPE,
                               text=True)
    assert process.stdout.readline() == 'writing\n'
    yield process, path
    process.kill()
    process.wait()
    process.stdout.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_writers_leftover_is_removed_and_a_living_ones_is_not(writer, tmp_path):
    process, path = writer
    (tmp_path / '.hidden-abcdefgh').write_text('not ours')
    remove_leftovers(tmp_path)
    assert len(names(path.parent)) == 2  # it lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == 'before' and len(names(path.parent)) == 2
    remove_leftovers(tmp_path)
    assert names(path.parent) == ['result.txt'] and path.read_text() == 'before'
    assert (tmp_path / '.hidden-abcdefgh').exists()


def test_a_file_taken_for_a_leftover_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    lock = fcntl.flock
    taken = []

    def late_lock(descriptor, kind):
        if kind == fcntl.LOCK_EX and not taken:  # a cleaner comes first
            taken.extend(names(tmp_path))
            monkeypatch.setattr(fcntl, 'flock', lock)
            remove_leftovers(tmp_path)
            assert not names(tmp_path)
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, 'flock', late_lock)
    write_text(tmp_path / 'note.txt', 'whole')
    assert len(taken) == 1 and names(tmp_path) == ['note.txt']
    assert (tmp_path / 'note.txt').read_text() == 'whole'


def test_without_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError('no locks here')

    monkeypatch.setattr('fcntl.flock', no_locks)
    with whole_file(tmp_path / 'note.txt') as temporary:
        temporary.write_text('whole')
        remove_leftovers(tmp_path)
    assert names(tmp_path) == ['note.txt']


def test_nothing_is_left_of_a_failure(tmp_path):
    (tmp_path / 'note.txt').write_text('before')
    descriptor = os.open(tmp_path, os.O_RDONLY)  # the lowest free one
    os.close(descriptor)
    with pytest.raises(RuntimeError), whole_file(tmp_path / 'note.txt') as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert names(tmp_path) == ['note.txt'] and (tmp_path / 'note.txt').read_text() == 'before'
    assert os.open(tmp_path, os.O_RDONLY) == descriptor  # its file is closed
    os.close(descriptor)
    remove_leftovers(tmp_path / 'absent')


def test_one_line_where_the_system_has_no_such_locks():
    code = "import sys; sys.modules['fcntl'] = None; import utils.common.files"
    done = subprocess.run([sys.executable, '-c', code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith('error: this project locks its files')
    assert len(done.stderr.splitlines()) == 1
