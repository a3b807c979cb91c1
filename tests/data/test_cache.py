"""The cache of parsed sequences: what makes it valid, what damages it, and several runs at once."""
import hashlib
import io
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.conftest import PROJECT
from utils.data import cache
from utils.data.dataset import SourceFile, load_recordings
from utils.data.skeleton import THREEDPW


class CountedReads:
    """Two files of one and two persons, their recordings, and how many files were read for them."""

    def __init__(self, root):
        self.root, self.files = root, [root / 'one.txt', root / 'two.txt']
        for path in self.files:
            path.write_text(path.stem)
        self.read_files = 0

    @property
    def kept(self):
        return cache.cache_folder(self.root) / 'part.h5'

    def read(self, path):
        self.read_files += 1
        value = len(path.read_text())
        return [np.full((value + person, 24, 3), value + person, dtype=np.float32)
                for person in range(1 + (path.stem == 'two'))]

    def load(self):
        """What the recordings say, and how many files were read."""
        before = self.read_files
        recordings = load_recordings(self.root, 'part', [SourceFile(path, path.stem) for path in self.files],
                                     self.read, THREEDPW)
        said = [(r.action, r.source, r.frames.shape, float(r.frames.mean())) for r in recordings]
        return said, self.read_files - before


@pytest.fixture
def counted(tmp_path):
    root = tmp_path / 'source'
    root.mkdir()
    return CountedReads(root)


def test_a_cache_gives_back_what_was_read(counted, capsys):
    fresh, reads = counted.load()
    assert reads == 2 and fresh[2] == ('two', 'two.txt', (4, 24, 3), 4.0)
    assert counted.load() == (fresh, 0)


def test_the_progress_bar_names_files_and_frames(counted, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, 'stderr', Terminal())
    counted.load()
    shown = sys.stderr.getvalue()
    assert 'two.txt' in shown and '3 frames' in shown


def test_a_changed_source_file_or_list_is_read_again(counted):
    counted.load()
    counted.files[0].write_text('longer')
    changed, reads = counted.load()
    assert reads == 2 and changed[0][2] == (6, 24, 3)
    counted.files.pop()
    assert counted.load() == (changed[:1], 1)


def test_another_version_is_read_again(counted, monkeypatch):
    fresh, _ = counted.load()
    monkeypatch.setattr(cache, 'VERSION', cache.VERSION + 1)
    assert counted.load() == (fresh, 2)
    assert counted.load() == (fresh, 0)


@pytest.mark.parametrize('damage', [
    lambda raw: raw[:len(raw) // 2], lambda raw: raw[:-1], lambda raw: b'', lambda raw: raw[cache.HEAD:],
    lambda raw: raw + b'\0', lambda raw: b'\0' * len(raw), lambda raw: b'not a cache'],
    ids=['half', 'last byte', 'emptied', 'without its head', 'longer', 'zeros', 'other'])
def test_a_damaged_cache_is_read_again_with_a_warning(counted, damage, caplog):
    caplog.set_level('WARNING', logger='ksof')
    fresh, _ = counted.load()
    counted.kept.write_bytes(damage(counted.kept.read_bytes()))
    assert counted.load() == (fresh, 2)
    assert f'{counted.kept}: damaged cache' in caplog.text
    assert counted.load() == (fresh, 0)


def test_no_flipped_bit_reaches_the_library(counted, monkeypatch):
    """HDF5's library crashes on some of these, and with it the run."""
    fresh, _ = counted.load()
    good = counted.kept.read_bytes()
    names = [path.name for path in counted.files]
    monkeypatch.setattr(h5py, 'File', lambda *_: pytest.fail('a damaged file was opened'))
    for place in np.random.default_rng(0).choice(len(good), 200, replace=False).tolist():
        if not 32 <= place < cache.HEAD:  # where nothing is
            counted.kept.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1:])
            assert cache.read_cache(counted.root, 'part', names, THREEDPW) is None


def test_a_cache_that_came_with_the_data_is_not_opened(counted, monkeypatch):
    counted.load()
    shipped = counted.root / '.ksof_cache' / 'part.h5'
    shipped.parent.mkdir()
    counted.kept.replace(shipped)
    assert counted.load()[1] == 2


def test_the_file_is_plain_hdf5_behind_its_checksum(counted):
    counted.load()
    content = counted.kept.read_bytes()
    assert content[:32] == hashlib.sha256(content[cache.HEAD:]).digest()
    with h5py.File(counted.kept) as file:
        assert file['frames'].shape == (10, 24, 3)


@pytest.mark.parametrize('spoil', [
    lambda counted, patch: patch.setenv('XDG_CACHE_HOME', str(counted.files[0])),
    lambda counted, patch: counted.kept.mkdir(parents=True),
    lambda counted, patch: patch.setattr(cache, 'whole_file', full_disk),
    lambda counted, patch: (patch.delenv('XDG_CACHE_HOME'), patch.setattr(cache.Path, 'home', nobody))],
    ids=['a file in its place', 'a folder in its place', 'full disk', 'no home'])
def test_a_cache_that_cannot_be_kept_costs_no_run(counted, spoil, monkeypatch, caplog):
    caplog.set_level('WARNING', logger='ksof')
    spoil(counted, monkeypatch)
    fresh, reads = counted.load()
    assert reads == 2 and counted.load() == (fresh, 2)
    assert 'no cache kept there' in caplog.text


def full_disk(path):
    raise OSError(28, 'No space left on device', str(path))


def nobody():
    raise RuntimeError('Could not determine home directory.')


# One of several runs at once: it reads the dataset ten times over.
# It makes the cache anew where that is missing or another's.
RUN = """
import sys
from pathlib import Path
from utils.data import cache, threedpw
from utils.data.dataset import read_recordings
root, other = Path(sys.argv[1]), sys.argv[2]
for k in range(10):
    cache.VERSION = other if k % 3 == 2 else 'mine'
    recordings = read_recordings(threedpw.DATASET, root, 'train', 20)
    frames = [recording.frames.tobytes() for recording in recordings]
    print(hash(tuple(frames)), flush=True)
"""


def test_runs_that_share_a_cache_neither_crash_nor_read_what_another_writes(sample_3dpw, tmp_path,
                                                                            monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('PYTHONHASHSEED', '0')
    root = sample_3dpw / '3dpw' / 'sequenceFiles'
    runs = [subprocess.Popen([sys.executable, '-c', RUN, root, f'other {k}'], cwd=PROJECT,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for k in range(2)]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said[0][1] + said[1][1]
    frames = {line for out, _ in said for line in out.splitlines()}
    assert len(frames) == 1 and sum(len(out.splitlines()) for out, _ in said) == 20
    assert not any('damaged' in err or 'no cache kept' in err for _, err in said)
    left = [path.name for path in cache.cache_folder(root).iterdir()]
    assert left == ['train.h5']
    content = (cache.cache_folder(root) / 'train.h5').read_bytes()
    assert content[:32] == hashlib.sha256(content[cache.HEAD:]).digest()


def test_a_killed_writers_leftover_goes_with_the_next_run(counted):
    counted.load()
    left = counted.kept.with_name('.part.h5-abcdefgh.unfinished')
    left.write_bytes(b'half')
    assert counted.load()[1] == 0 and not left.exists()


def test_a_cache_that_others_may_write_is_not_read(counted, caplog):
    counted.load()
    counted.kept.chmod(0o666)
    assert counted.load()[1] == 2 and 'alone may write' in caplog.text
    assert counted.load()[1] == 0  # it was replaced by one of our own
