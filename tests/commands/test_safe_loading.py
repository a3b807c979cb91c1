"""A file from a stranger is data: whatever it says, nothing in it is run, wherever it is read."""
import ast
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from formats import READ
from test_bad_input import lay_out, one_line, run_on

from tests.conftest import PROJECT
from utils.common import checkpoint
from utils.common.errors import InputError


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def proof(tmp_path_factory):
    """A path that comes into being when any of this module's files is run."""
    return tmp_path_factory.mktemp('proof') / 'ran'


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def saved_array(content):
    file = io.BytesIO()
    np.save(file, content, allow_pickle=True)
    return file.getvalue()


def zipped(raw):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in {'ckpt/data.pkl': raw, 'ckpt/version': b'3\n',
                              'ckpt/byteorder': b'little'}.items():
            archive.writestr(name, content)
    return file.getvalue()


HOSTILE = {
    'ckpt.pth.tar': [saved, lambda evil: saved({'model': {}, 'options': evil, 'epoch': 1}),
                     lambda evil: saved({'model': {'a': evil}}, _use_new_zipfile_serialization=False),
                     pickle.dumps, lambda evil: zipped(pickle.dumps({'model': evil}, protocol=2)),
                     lambda evil: zipped(pickle.dumps({'model': evil}, protocol=0))],
    'own.npy': [pickle.dumps, lambda evil: saved_array(np.array([evil, evil], dtype=object)),
                lambda evil: saved_array(np.array([(evil,)], dtype=[('a', object)]))],
}
HOSTILE |= {name: [pickle.dumps, lambda evil: pickle.dumps({'jointPositions': [evil]}, protocol=2)]
            for name in READ if name not in HOSTILE}


@pytest.mark.parametrize('function', [os.system, eval, exec], ids=['system', 'eval', 'exec'])
@pytest.mark.parametrize('name, way', [(name, k) for name, ways in HOSTILE.items() for k in range(len(ways))])
def test_safe_from_hostile_pickles_wherever_a_file_is_read(name, way, function, valid, tmp_path, proof,
                                                           capsys):
    words = f'touch {proof}' if function is os.system else f'open({str(proof)!r}, "w")'
    raw = HOSTILE[name][way](Calls(function, words))
    path = lay_out(name, valid, tmp_path)
    path.write_bytes(raw)
    assert run_on(name, path, tmp_path) == 2
    one_line(capsys.readouterr().err, naming=path)
    assert not proof.exists()


def test_these_pickles_are_dangerous(proof):
    for function, words in ((os.system, f'touch {proof}'), (eval, f'open({str(proof)!r}, "w")')):
        raw = saved({'model': {}, 'options': Calls(function, words), 'epoch': 1})
        torch.load(io.BytesIO(raw), weights_only=False)
        assert proof.exists()
        proof.unlink()


@pytest.mark.parametrize('action', ['--is_eval', '--is_load'])
def test_safe_from_hostile_checkpoints_in_a_run(action, command, tmp_path, proof, capsys):
    folder = tmp_path / 'run'
    folder.mkdir()
    for name in (checkpoint.LAST, checkpoint.BEST, checkpoint.PREVIOUS):
        (folder / name).write_bytes(saved({'model': {}, 'options': Calls(os.system, f'touch {proof}'),
                                           'epoch': 1}))
    assert command(action) == 2
    assert 'is not a readable checkpoint' in one_line(capsys.readouterr().err)
    assert not proof.exists()


@pytest.mark.parametrize('name',
                         [name for name in READ if name.rsplit('.')[-1] in ('txt', 'asf', 'amc', 'bvh')])
def test_safe_from_code_in_text(name, valid, tmp_path, proof):
    path = lay_out(name, valid, tmp_path)
    code = f'__import__("os").system("touch {proof}")'.encode()
    good = path.read_bytes()
    for number in (b'0.5', b'0.45', b'-0.', b'0.00', b'120', b'16'):
        if number in good:
            path.write_bytes(good.replace(number, code, 3))
            with pytest.raises(InputError):
                READ[name](path)
            break
    else:
        pytest.fail('no number found')
    assert not proof.exists()


# What this project's own code never calls, by the last two names.
FORBIDDEN = {'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen', 'pickle.load', 'pickle.loads',
             'pickle.Unpickler', 'marshal.load', 'marshal.loads', 'shelve.open', 'dill.load', 'joblib.load',
             'yaml.load', 'tempfile.mktemp', 'subprocess.getoutput', 'subprocess.getstatusoutput',
             'runpy.run_path', 'importlib.import_module'}


def risks(source):
    """Calls in Python source that could run what a file says, each with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = 'os', 'pickle', 'marshal', 'subprocess', 'shelve'
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            found += [(node.lineno, f'from {node.module} import {alias.name}') for alias in node.names]
        if not isinstance(node, ast.Call):
            continue
        name = '.'.join(ast.unparse(node.func).split('.')[-2:])
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in FORBIDDEN or name.endswith('exec_module'):
            found.append((node.lineno, name))
        if given.get('shell', 'False') != 'False' or given.get('allow_pickle', 'False') != 'False':
            found.append((node.lineno, f'{name} with shell or allow_pickle'))
        if name == 'torch.load' and given.get('weights_only') != 'True':
            found.append((node.lineno, f'{name} of more than weights'))
        if name in ('np.load', 'numpy.load') and 'allow_pickle' not in given:
            found.append((node.lineno, f'{name} that leaves pickles to a default'))
    return found


@pytest.mark.parametrize('line', [
    'eval("1")', 'exec(x)', 'os.system("ls")', 'import os; os.popen(x)', 'pickle.load(file)',
    'x = [pickle.loads(raw) for raw in y]', 'np.load(path)', 'np.load(path, allow_pickle=True)',
    'np.load(path, allow_pickle=ok)', 'torch.load(path)', 'torch.load(path, weights_only=False)',
    'torch.load(path, weights_only=safe)', 'from os import system', 'subprocess.run(words, shell=True)',
    'spec.loader.exec_module(m)', 'subprocess.Popen("ls", shell=x)', 'from pickle import loads',
    'pickle.Unpickler(file).load()'])
def test_risks_are_seen(line):
    assert risks(f'def f():\n    {line}\n')


def test_no_code_of_this_project_runs_what_a_file_says():
    files = [path for path in PROJECT.rglob('*.py')
             if not {'.venv', 'tests'} & set(path.relative_to(PROJECT).parts)]
    assert len(files) > 40 and PROJECT / 'utils' / 'common' / 'checkpoint.py' in files
    found = {str(path.relative_to(PROJECT)): [what for _, what in risks(path.read_text())] for path in files
             if risks(path.read_text())}
    assert found == {'utils/network_file.py': ['loader.exec_module']}, 'it runs the file of --network'
    uses = {path.name: path.read_text().count('read_network_file(') for path in files}
    assert {name: count for name, count in uses.items() if count} == {'network_file.py': 1, 'run.py': 1}
    assert 'read_network_file(options.network)' in (PROJECT / 'utils' / 'run.py').read_text()
