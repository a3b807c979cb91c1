"""Pickles: every way numpy writes numbers is read, and nothing that a pickle says is ever run."""
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from utils.common.errors import InputError
from utils.data import threedpw
from utils.data.safe_pickle import as_array, load_pickle

POSITIONS = np.random.default_rng(0).normal(size=(4, 72))


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's str, which is what 3DPW's files hold."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_python2(self, text):
        raw = text if isinstance(text, bytes) else text.encode('latin1')
        self.write(pickle.BINSTRING + struct.pack('<i', len(raw)) + raw)

    dispatch[bytes] = dispatch[str] = save_python2


def python2_pickle(path, content):
    with path.open('wb') as file:
        Python2Pickler(file, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b'numpy._core', b'numpy.core'))


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('module', [b'numpy._core.multiarray', b'numpy.core.multiarray'])
@pytest.mark.parametrize('array', [
    POSITIONS, np.asfortranarray(POSITIONS), POSITIONS[::2], POSITIONS.astype('>f4'), np.zeros((0, 72)),
    np.array(3.0), np.array([True, False]), np.arange(5),
], ids=lambda array: f'{array.dtype.str}{array.shape}')
def test_arrays_come_back_as_they_were(tmp_path, protocol, module, array):
    path = tmp_path / 'arrays.pkl'
    raw = pickle.dumps({'a': [array, 'x', 1.5], 'b': ({1}, b'\xff', b'', None)}, protocol=protocol)
    if protocol < 4:  # where names are not preceded by their length
        raw = raw.replace(b'numpy._core.multiarray', module)
    path.write_bytes(raw)
    content = load_pickle(path)
    back = as_array(content['a'][0])
    assert back.dtype.newbyteorder('=') == array.dtype.newbyteorder('=')
    np.testing.assert_array_equal(back, array)
    assert content['a'][1:] == ['x', 1.5] and content['b'] == ({1}, b'\xff', b'', None)


def test_python_2_pickles(tmp_path):
    people = [POSITIONS, POSITIONS[:3]]
    path = tmp_path / 'scene.pkl'
    python2_pickle(path, {'sequence': 'scene', 'jointPositions': people, 'genders': ['m', 'f'],
                          'scale': np.float64(2)})
    content = load_pickle(path)
    assert content['sequence'] == 'scene' and content['genders'] == ['m', 'f']
    for person, truth in zip(content['jointPositions'], people, strict=True):
        np.testing.assert_array_equal(as_array(person), truth)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def in_protocol_4(module, name, *arguments):
    """A pickle that calls module.name, found by its dots, with some strings."""
    def text(value):
        return b'\x8c' + bytes([len(value)]) + value.encode()

    return (b'\x80\x04' + text(module) + text(name) + b'\x93('
            + b''.join(text(argument) for argument in arguments) + b'tR.')


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('function, name', [(os.system, 'posix.system'), (eval, 'builtin'), (exec, 'builtin'),
                                            (getattr, 'builtin'), (np.load, 'numpy.load'), (open, 'io.open')])
@pytest.mark.parametrize('inside', [lambda evil: evil, lambda evil: {'jointPositions': [evil]},
                                    lambda evil: {'jointPositions': [np.array([evil, evil])]},
                                    lambda evil: {'jointPositions': np.array([(evil,)],
                                                                             dtype=[('field', object)])}],
                         ids=['alone', 'in a list', 'in an object array', 'in a structured array'])
def test_a_call_is_refused_by_name_and_not_made(tmp_path, protocol, function, name, inside):
    proof, path = tmp_path / 'proof', tmp_path / 'evil.pkl'
    proof.mkdir()
    path.write_bytes(pickle.dumps(inside(Calls(function, f'touch {proof}/ran')), protocol=protocol))
    with pytest.raises(InputError) as caught:
        threedpw.read(path)
    assert str(caught.value).startswith(f'{path}: refused: ') and name in str(caught.value)
    assert not list(proof.iterdir())


@pytest.mark.parametrize('module, name', [
    ('os', 'system'), ('posix', 'system'), ('subprocess', 'getoutput'), ('__builtin__', 'eval'),
    ('numpy', 'load'), ('numpy', 'core.multiarray.sys.modules'),
    ('numpy._core.multiarray', '_reconstruct.__globals__'),
    ('numpy._core.multiarray', '_reconstruct.__class__'), ('numpy', 'ndarray.tofile'),
    ('numpy', 'dtype.__new__'), ('_codecs', 'encode.__self__'), ('_codecs', 'decode'),
    ('builtins', 'set.__class__'), ('builtins', 'type'), ('numpy.core', 'multiarray._reconstruct'),
    ('numpy.testing._private.utils', 'runstring'), ('copyreg', '_reconstructor')])
def test_names_are_looked_up_whole(tmp_path, module, name):
    proof, path = tmp_path / 'proof', tmp_path / 'evil.pkl'
    path.write_bytes(in_protocol_4(module, name, f'touch {proof}'))
    with pytest.raises(InputError, match='refused') as caught:
        load_pickle(path)
    assert f'{module}.{name}' in str(caught.value) and not proof.exists()


def test_the_plain_reader_would_have_run_it(tmp_path):
    """The files of this test are dangerous ones: Python's own reader falls for them."""
    proof = tmp_path / 'proof'
    pickle.loads(in_protocol_4('os', 'system', f'touch {proof}'))
    assert proof.exists()


def test_a_pickle_cannot_change_how_the_next_is_read(tmp_path):
    good, bad = tmp_path / 'good.pkl', tmp_path / 'bad.pkl'
    good.write_bytes(pickle.dumps(POSITIONS, protocol=2))
    for target in (b'cnumpy.core.multiarray\n_reconstruct\n', b'cnumpy\nndarray\n', b'cnumpy\ndtype\n',
                   b'cbuiltins\nset\n'):
        # BUILD with a pair sets the attributes named in its second part.
        bad.write_bytes(b'\x80\x02' + target
                        + b'N}U\x08__call__cbuiltins\nfrozenset\nsU\x0c__setstate__Ns\x86b.')
        try:
            load_pickle(bad)
        except InputError as error:
            assert str(bad) in str(error)
        np.testing.assert_array_equal(as_array(load_pickle(good)), POSITIONS)


@pytest.mark.parametrize('protocol', [0, 2, 5])
def test_a_pickle_cut_short_anywhere_is_an_error(tmp_path, protocol):
    raw, path = pickle.dumps({'jointPositions': [POSITIONS[:1]]}, protocol=protocol), tmp_path / 'short.pkl'
    for length in range(0, len(raw), 3):
        path.write_bytes(raw[:length])
        with pytest.raises(InputError, match='short.pkl: '):
            threedpw.read(path)


@pytest.mark.parametrize('content, problem', [
    ([1, 2], 'no list of persons'),
    ({'poses': []}, 'no list of persons'),
    ({'jointPositions': []}, 'no list of persons'),
    ({'jointPositions': POSITIONS}, 'no list of persons'),
    ({'jointPositions': [POSITIONS, POSITIONS[:, :69]]},
     r'person 2: .*shape \(4, 69\), expected \(frames, 72\)'),
    ({'jointPositions': [POSITIONS.reshape(4, 24, 3)]}, r'shape \(4, 24, 3\)'),
    ({'jointPositions': [POSITIONS[:0]]}, r'shape \(0, 72\)'),
    ({'jointPositions': [np.where(POSITIONS[2, 5] == POSITIONS, np.nan, POSITIONS)]},
     'person 1: frame 2 holds a value that'),
    ({'jointPositions': [POSITIONS.astype(object)]}, "person 1: an array of type '|O8', not of numbers"),
    ({'jointPositions': [POSITIONS.astype('U8')]}, 'not of numbers'),
    ({'jointPositions': [POSITIONS.astype(complex)]}, 'not of numbers'),
    ({'jointPositions': [POSITIONS.tolist()]}, 'not a numpy array'),
    ({'jointPositions': [np.float64(1)]}, 'a numpy scalar, not an array'),
    ({'jointPositions': [np.dtype(float)]}, 'a numpy dtype, not an array'),
])
def test_a_file_that_is_not_a_sequence_is_refused(tmp_path, content, problem):
    path = tmp_path / 'odd.pkl'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=f'odd.pkl: .*{problem.replace("|", "[|]")}') as caught:
        threedpw.read(path)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('raw', [b'', b'not a pickle\n', b'\x80\x02.', b'\x80\x02]a.', b'\x80\x63N.',
                                 b'\x80\x02U\x01xQ.', b'\x80\x02cnumpy\ndtype\n)R\x86b.',
                                 b'\x89PNG\r\n\x1a\n' + bytes(100)])
def test_damaged_files_are_named(tmp_path, raw):
    path: Path = tmp_path / 'damaged.pkl'
    path.write_bytes(raw)
    with pytest.raises(InputError, match='damaged.pkl: '):
        load_pickle(path)


def test_lying_array_states_are_refused(tmp_path):
    """Arrays whose state does not fit together never reach numpy's own unpickling."""
    path = tmp_path / 'lies.pkl'
    good = pickle.dumps(np.zeros((2, 2)), protocol=2)
    shape = b'K\x02K\x02\x86'
    assert good.count(shape) == 1
    for lie in (b'K\x02K\x03\x86', b'K\x02J\xff\xff\xff\x7f\x86', b'NK\x02\x86', b'K\x09'):
        path.write_bytes(good.replace(shape, lie))
        with pytest.raises(ValueError):
            as_array(load_pickle(path))
    for code in ('O8', 'V8', 'f8,O', 'M8', 'f0', 'x'):
        text = b'X' + struct.pack('<i', len(code)) + code.encode()
        path.write_bytes(good.replace(b'X\x02\x00\x00\x00f8', text))
        with pytest.raises(ValueError, match='not of numbers'):
            as_array(load_pickle(path))
    path.write_bytes(good.replace(b'X\x02\x00\x00\x00f8', b'K\x08'))
    with pytest.raises(ValueError, match='not a numpy array'):
        as_array(load_pickle(path))
