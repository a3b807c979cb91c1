"""Files made to exhaust the machine: each is refused in one line, and soon, before anything is made of it."""
import gzip
import pickle
import zipfile

import numpy as np
import pytest

from utils.common import checkpoint
from utils.common.errors import InputError
from utils.common.untrusted import check_pickle
from utils.data.safe_pickle import load_pickle
from utils.data.text import read_numbers
from utils.mocap.asf_amc import read_lines

EMPTY_TUPLE = b')'


def nested_key():
    """60 tuples, each of the one before twice: hashing the last takes 2**60 steps."""
    return b'\x80\x02}' + EMPTY_TUPLE + b''.join(b'q%ch%c\x86' % (k, k) for k in range(60)) + b'K\x01s.'


def nested_member():
    """The same tuple in the list that set() is called with."""
    return (b'\x80\x02cbuiltins\nset\n(]' + EMPTY_TUPLE + b''.join(b'q%ch%c\x86' % (k, k) for k in range(60))
            + b'atR.')


def keys_of_one_hash(start, end):
    """50,000 whole numbers with the hash of 0, each of which a dictionary or set compares with all others."""
    numbers = [b'\x8a\x20' + (k * (2**61 - 1)).to_bytes(32, 'little') for k in range(1, 50_000)]
    return b'\x80\x04' + start + (b'N' if b'u' in end else b'').join(numbers) + end


def copied_again_and_again(call):
    """One remembered list or text of 50,000, given to a function 10,000 times."""
    items, text = b']q\x00(' + b'K\x01' * 50_000 + b'e0', b'X\x50\xc3\x00\x00' + b'a' * 50_000 + b'q\x000'
    big = items if b'set' in call else text
    return b'\x80\x02' + big + b']' + (call + b'(h\x00tRa') * 10_000 + b'.'


BOMBS = {'a nested key': nested_key(), 'a nested member': nested_member(),
         'copies of a list': copied_again_and_again(b'cbuiltins\nset\n'),
         'copies of a text': copied_again_and_again(b'c_codecs\nencode\n'),
         'keys of one hash': keys_of_one_hash(b'}(', b'Nu.'),
         'members of one hash': keys_of_one_hash(b'\x8f(', b'\x90.'),
         'a set of one hash': keys_of_one_hash(b'cbuiltins\nset\n](', b'e\x85R.'),
         'lists without end': b'\x80\x02' + b']' * 310_000 + b'.',
         'room for objects': b'\x80\x02Nr\xff\xff\xff\x7f.'}


@pytest.mark.parametrize('kind', BOMBS)
def test_a_pickle_that_asks_for_too_much_is_refused(kind, tmp_path):
    path = tmp_path / 'bomb.pkl'
    path.write_bytes(BOMBS[kind])
    with pytest.raises(InputError, match='bomb.pkl: ') as caught:
        load_pickle(path)
    assert '\n' not in str(caught.value)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', BOMBS[kind])
    with pytest.raises(InputError, match='bomb.pkl: ') as caught:
        checkpoint.load(path)
    assert '\n' not in str(caught.value)


def test_a_checkpoint_names_nothing_but_tensors(tmp_path):
    path = tmp_path / 'evil.pth.tar'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl',
                         b'\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\xc0\x00\x85R.')
    with pytest.raises(InputError, match='names .builtins bytearray'):
        checkpoint.load(path)


def test_memory_that_is_not_there_is_no_fault_of_the_file():
    said = RuntimeError('[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can\'t allocate memory')
    assert checkpoint.reason_of(said) == checkpoint.reason_of(MemoryError()) == 'not enough memory'


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / 'many.pth.tar'
    with zipfile.ZipFile(path, 'w') as archive:
        for _ in range(1_000):
            archive.writestr('archive/data.pkl', b'')
    with pytest.raises(InputError, match='two files of one name'):
        checkpoint.load(path)


@pytest.mark.parametrize('protocol', range(6))
def test_what_is_written_honestly_passes(protocol):
    content = {'a': [np.zeros((3, 72))] * 3, (1, 'b'): {1, 2}, 'c': frozenset([3]), 4.5: b'raw',
               'd': [[[], ()], {'e': None}]}
    check_pickle(pickle.dumps(content, protocol=protocol))


@pytest.mark.parametrize('packed', [b'\x1f\x8b\x08\x08\0\0\0\0\0\x03' + b'a' * 10**8,
                                    gzip.compress(b'1,2,3,4\n') + bytes(10**8)], ids=['a name', 'zeros'])
def test_what_gzip_reads_byte_by_byte_has_an_end(packed, tmp_path):
    path = tmp_path / 'bomb.txt.gz'
    path.write_bytes(packed)
    with pytest.raises(InputError, match='bomb.txt.gz: '):
        read_numbers(path, 4)


@pytest.mark.parametrize('end', [b'\n', b'\r', b'\x85', b'\x1c'])
def test_motion_of_lines_without_end_is_refused(end, tmp_path):
    path = tmp_path / 'bomb.amc'
    path.write_bytes(end * 10**8)
    with pytest.raises(InputError, match='bomb.amc: has more than 5000000 lines'):
        next(read_lines(path))


@pytest.mark.parametrize('text', [b'1,2,3,4' * 10**7, b'\n' * 10**6, b'1,2,3,4\n' * 210_000],
                         ids=['one line', 'blank lines', 'rows'])
def test_a_text_that_grows_without_end_is_refused(text, tmp_path):
    path = tmp_path / 'bomb.txt.gz'
    path.write_bytes(gzip.compress(text, compresslevel=1))
    with pytest.raises(InputError, match='bomb.txt.gz: line .*no recording is so long'):
        read_numbers(path, 4)
