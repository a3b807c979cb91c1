"""Whatever bytes a file holds: a good value or an InputError of one line, never anything else.

KSOF_FUZZ_EXAMPLES sets how many files each test tries, and makes them other ones each time.
"""
import gzip
import io
import os
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from formats import READ
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.common.errors import InputError
from utils.data.skeleton import FARTHEST_JOINT_MM
from utils.evaluate.results import Results
from utils.mocap.motion import Motion
from utils.predict.predictor import Predictor
from utils.report.page import markdown

EXAMPLES = int(os.environ.get('KSOF_FUZZ_EXAMPLES', '60'))
FUZZ = settings(max_examples=EXAMPLES, derandomize='KSOF_FUZZ_EXAMPLES' not in os.environ, database=None,
                deadline=10_000, suppress_health_check=list(HealthCheck))
# What the readers' formats are made of, and numbers at the edge of what can be said.
PIECES = [b'', b'\0', b'\n', b'\r', b' ', b',', b'.', b'-', b'#', b'"', b"'", b':', b'(', b')', b'[', b'{',
          b'}', b'nan', b'inf', b'1e999', b'-1e300', b'1e-320', b'0', b'-1', b'1_0', b'0x10', b'1j',
          b'99999999999999999999', '\u0661'.encode(), '\u2028'.encode(), b'\x85', b'\x1c', b'\x1b[2J',
          b'\xff\xfe', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'XYZ', b'rx', b'End Site\n',
          b'OFFSET 1 2 3\n', b'CHANNELS 1 Xrotation\n', b'Xrotation', b'Frames: 1\n',
          b'root 0 0 0 0 0 0\n', b"'<f8'", b"'O'", b'None', b'True', b'R', b'b', b'N.', b'K\x00', b']', b'(t',
          b'cposix\nsystem\n', b'h\x00', b'q\x00', b'r\xff\xff\xff\x7f', b'J\xff\xff\xff\x7f',
          b'\x8e\xff\xff\xff\xff\0\0\0\0', b'\x95\xff\xff\xff\xff\0\0\0\0']


def edits(size):
    """Draws up to four changes of so many bytes.

    Each says where, how many go, and what comes in: bytes, or a copy of some of the file's own.
    """
    place = st.one_of(st.integers(0, size), st.integers(0, min(size, 200)))  # headers are short
    gone = st.sampled_from([0, 0, 1, 1, 2, 4, 8, 64, size])
    come = st.one_of(st.sampled_from(PIECES), st.binary(max_size=4),
                     st.tuples(place, st.sampled_from([1, 8, 64])))
    return st.lists(st.tuples(place, gone, come), min_size=1, max_size=4)


def damaged(good, changes):
    """A valid file's bytes after these changes."""
    raw = bytearray(good)
    for at, gone, come in changes:
        raw[at:at + gone] = come if isinstance(come, bytes) else bytes(raw[come[0]:come[0] + come[1]])
    return bytes(raw)


def members(raw):
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_pickle(raw, content):
    """A checkpoint's archive with another pickle in it and its checksums right."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, own in members(raw).items():
            archive.writestr(name, content if name.endswith('/data.pkl') else own)
    return file.getvalue()


def pickle_in(raw):
    return next(content for name, content in members(raw).items() if name.endswith('/data.pkl'))


# How to get at what lies behind a checksum, and to put it back: damage alone does not come that far.
INSIDE = {'walking_2.txt.gz': (gzip.decompress, lambda raw, content: gzip.compress(content)),
          'ckpt.pth.tar': (pickle_in, with_pickle)}


@pytest.fixture
def folder(valid, tmp_path):
    """A copy of the valid files, of which the test replaces one."""
    return shutil.copytree(valid, tmp_path, dirs_exist_ok=True)


def check(name, path, raw):
    """Read these bytes; what comes back must be fit for use."""
    path.write_bytes(raw)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # torch's on pickles of another kind
            warnings.simplefilter('error', RuntimeWarning)
            value = READ[name](path)
    except InputError as error:
        # With a skeleton that is none of its own, it is the trial beside it that cannot be read.
        named = [path] if name != '98.asf' else [path, path.with_name('98_01.amc')]
        assert any(str(error).startswith(f'{one}: ') for one in named)
        assert str(error).isprintable() and len(str(error)) < 1000
        return
    for poses in [value.body] if isinstance(value, Motion) else value if isinstance(value, list) else []:
        assert len(poses) and np.abs(poses).max() <= 2 * FARTHEST_JOINT_MM and not poses[:, 0].any()
    if isinstance(value, Results):
        markdown(value)
    assert isinstance(value, Predictor | Motion | Results | list)


@pytest.mark.parametrize('name', READ)
def test_damaged_valid_files(name, folder, valid):
    good = (valid / name).read_bytes()

    @FUZZ
    @given(edits(len(good)))
    def try_one(changes):
        check(name, folder / name, damaged(good, changes))

    try_one()


@pytest.mark.parametrize('name', INSIDE)
def test_damage_behind_a_checksum(name, folder, valid):
    good, (unpack, pack) = (valid / name).read_bytes(), INSIDE[name]
    content = unpack(good)

    @FUZZ
    @given(edits(len(content)))
    def try_one(changes):
        check(name, folder / name, pack(good, damaged(content, changes)))

    try_one()


@pytest.mark.parametrize('name', READ)
def test_any_bytes(name, folder):
    @FUZZ
    @given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map(b''.join)))
    def try_one(raw):
        check(name, folder / name, raw)

    try_one()
