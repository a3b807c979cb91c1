"""Every option's wrong values and every file's damages: one clear line, exit code 2, nothing written over."""
import argparse
import gzip
import os
import pickle
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from formats import READ

import main_3dpw
import main_cmu_3d
import main_h36m
from opt import parser
from tests.conftest import TINY
from tools import compare, predict
from utils.common.cli import run_tool
from utils.data import cmu, h36m, threedpw
from utils.run import main

# The datasets by their initial in a file's name below.
MAINS = {'w': (h36m.DATASET, main_h36m), 'r': (cmu.DATASET, main_cmu_3d), 's': (threedpw.DATASET, main_3dpw)}
PLACES = {'w': ['S1', 'S11', 'S5'], 'r': ['train/running', 'test/running'],
          's': ['train', 'validation', 'test']}
OPTIONS = {action.option_strings[0]: action for action in parser('cmu', 'CMU mocap', {})._actions
           if action.option_strings and not isinstance(action, argparse._HelpAction)
           and action.option_strings[0] != '--version'}
# What no number option takes; those of options for whole numbers go on.
NUMBERS = ['', 'x', 'nan', '-inf', '1e999', '-1', '0x10', '1,5', '１０', '٣', '1 2']
WHOLE = [*NUMBERS, '1.5', '1e3', '10' * 40, '9' * 5000, '-' + '9' * 400]
# The other options that take a value.
# {folder} is empty, {file} holds a word, {long} is longer than names can be.
WORDS = {
    '--data_dir': ['{folder}', '{file}', '{folder}/absent', '/dev/null', '{long}', '{loop}'],
    '--test_sample_num': ['0', '9', '-2', '8.0', 'all', '', '1e999'],
    '--tcn_axis': ['', 'Time', 'space', '0'],
    '--topk': ['', 'on', 'IN_PLACE'],
    '--wiring': ['', 'outer', 'Released'],
    '--without': ['', 'sof', 'Gates'],
    '--symmetry': ['', 'on', 'Average'],
    '--optimizer': ['', 'sgd', 'Adam'],
    '--recipe': ['', 'best', 'Accurate'],
    '--cuda_idx': ['', 'gpu', 'cuda:x', 'cuda:-1', '0', 'cuda:99999999999999999999', 'cpu:cpu'],
    '--network': ['x', 'x.py', '{file}:f', '{folder}/absent.py:f', '{folder}.py:1f', '{long}.py:f'],
    '--exp': ['{file}', '{file}/inner', '/dev/null/run', '{long}', '{loop}'],
    '--init': ['{file}', '{folder}', '{folder}/absent', '/dev/null', '{long}', '{loop}'],
    '--ckpt': ['{file}', '{folder}', '{folder}/absent', '/dev/null', '{long}', '{loop}'],
}


def wrong_values(name):
    """Returns wrong values of an option, from what its parser says of it, or by hand.

    None where nobody has thought of any.
    """
    action = OPTIONS[name]
    if action.nargs == 0:
        return ['', '1', 'yes']
    kind = getattr(action.type, '__name__', '')
    return WORDS.get(name) or {'whole number': WHOLE, 'number': NUMBERS}.get(kind, [])


@pytest.fixture
def places(tmp_path):
    """A folder, a file, a link to itself and an impossible name, for options that name files."""
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('word')
    (tmp_path / 'loop').symlink_to('loop')
    return {'folder': tmp_path / 'folder', 'file': tmp_path / 'file', 'loop': tmp_path / 'loop',
            'long': 'n' * 5000}


def content(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob('*')}


def one_line(err, *, naming=''):
    """The error in what a command said, of which progress and notices about short recordings are no part."""
    lines = [line for line in err.replace('\r', '\n').split('\n') if line.startswith('error: ')]
    assert len(lines) == 1 and err.rstrip().endswith(lines[0]) and 'Traceback' not in err, err
    assert str(naming) in lines[0], lines[0]
    most = 600 + 10_000 * ('nnnn' in err or '9999' in err)
    assert lines[0].isprintable() and len(lines[0]) < most, lines[0]
    return lines[0]


def test_every_option_has_wrong_values():
    assert [name for name in OPTIONS if not wrong_values(name)] == []
    assert set(WORDS) <= set(OPTIONS)


@pytest.mark.parametrize('name', OPTIONS)
def test_wrong_values_of(name, sample_cmu, places, capsys, tmp_path):
    before = content(tmp_path)
    needed = {'--ckpt': ['--is_eval'], '--data_dir': []}.get(name, [])
    for value in wrong_values(name):
        value = value.format(**places)
        words = ['--data_dir', str(sample_cmu), '--exp', str(tmp_path / 'run'), *TINY, *needed,
                 f'{name}={value}']
        assert main(cmu.DATASET, main_cmu_3d.DEFAULTS, words) == 2, f'{name}={value[:40]}'
        line = one_line(capsys.readouterr().err)
        assert name in line or value[:100] in line, line
        assert content(tmp_path) == before, f'{name}={value[:40]}'


def test_an_option_without_its_value(capsys):
    for name, action in OPTIONS.items():
        if action.nargs != 0:
            assert main(cmu.DATASET, main_cmu_3d.DEFAULTS, ['--data_dir', 'x', name]) == 2
            assert f'{name}: expected one argument' in one_line(capsys.readouterr().err)
    assert main(cmu.DATASET, main_cmu_3d.DEFAULTS, []) == 2
    assert '--data_dir' in one_line(capsys.readouterr().err)


# Files

TEXTS = ['walking_1.txt', 'walking_2.txt.gz', 'running_1.txt', 'own.txt']
BINARY = bytes(range(256)) * 8


def rewritten(change):
    """A damage to the text of a file, packed or not."""
    def damage(path):
        unpack, pack = (gzip.decompress, gzip.compress) if path.suffix == '.gz' else (bytes, bytes)
        path.write_bytes(pack(change(unpack(path.read_bytes()))))
    return damage


def replace_number(raw, number, line=1, column=20):
    """The text with one of its comma-separated numbers replaced; line and column from 0."""
    lines = raw.split(b'\n')
    fields = lines[line].split(b',')
    fields[column] = number
    lines[line] = b','.join(fields)
    return b'\n'.join(lines)


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def link_to_nothing(path):
    path.unlink()
    path.symlink_to('absent')


def folder_instead(path):
    path.unlink()
    path.mkdir()


def pipe_instead(path):
    path.unlink()
    os.mkfifo(path)


def words_in(old, new):
    return rewritten(lambda raw: raw.replace(old, new, 1) if old in raw
                     else pytest.fail(f'no {old} in the file'))


def numbers_in(change):
    """A damage to the positions in a pickle or .npy."""
    def damage(path):
        raw = path.read_bytes()
        array = np.load(path) if path.suffix == '.npy' else pickle.loads(raw)['jointPositions'][1]
        array = change(array.copy())
        np.save(path, array) if path.suffix == '.npy' else path.write_bytes(
            pickle.dumps({'jointPositions': [pickle.loads(raw)['jointPositions'][0], array]}, protocol=2))
    return damage


def put(place, value):
    def change(array):
        array[place] = value
        return array
    return change


PICKLES = ['scene.pkl', 'scene_5.pkl']
# (what is done to the file, the files it is done to, what the line says)
DAMAGES = {
    'empty': (lambda path: path.write_bytes(b''), list(READ), ''),
    'binary': (lambda path: path.write_bytes(BINARY), list(READ), ''),
    'cut in half': (lambda path: path.write_bytes(path.read_bytes()[:path.stat().st_size // 2]),
                    list(READ), ''),
    'cut at its end': (rewritten(lambda raw: raw.rstrip()[:-12]),
                       [n for n in READ if n not in ('98.asf', *TEXTS)], ''),
    'cut in a row': (rewritten(lambda raw: raw[:-300]), TEXTS, 'line 4: '),
    'a folder': (folder_instead, list(READ), ''),
    'a link to itself': (link_to_itself, list(READ), ''),
    'a link to nothing': (link_to_nothing, list(READ), ''),
    'UTF-16': (rewritten(lambda raw: raw.decode('latin1').encode('utf-16')),
               [*TEXTS, '98.asf', '98_01.amc', 'own.bvh'], ''),
    'a column more': (rewritten(lambda raw: raw.replace(b'\n', b',1\n')), TEXTS,
                      'line 1: .* columns, expected'),
    'a column less': (rewritten(lambda raw: raw.split(b',', 1)[1]), TEXTS, 'line 1: .* columns, expected'),
    'spaces for commas': (rewritten(lambda raw: raw.replace(b',', b' ')), TEXTS,
                          'line 1: 1 columns, expected'),
    'a NaN': (rewritten(lambda raw: replace_number(raw, b'nan')), TEXTS,
              'line 2: nan is not a finite number'),
    'a NaN in the root': (rewritten(lambda raw: replace_number(raw, b'NaN', 0, 0)), TEXTS,
                          'line 1: NaN is not a finite'),
    'infinity': (rewritten(lambda raw: replace_number(raw, b'1e999', 3)), TEXTS,
                 'line 4: 1e999 is not a finite number'),
    '1e300 as a turn': (rewritten(lambda raw: replace_number(raw, b'-1e300')), TEXTS,
                        'line 2: column 21: -1e300 is too large'),
    '1e300 as a position': (rewritten(lambda raw: replace_number(raw, b'1e300', 0, 1)), TEXTS,
                            'line 1: column 2: 1e300 is too'),
    'degrees for radians': (rewritten(lambda raw: replace_number(raw, b'130')), TEXTS,
                            'too large for a turn in radians'),
    'a word': (rewritten(lambda raw: replace_number(raw, b'left')), TEXTS, "line 2: 'left' is not a number"),
    'a number with _': (rewritten(lambda raw: replace_number(raw, b'1_0')), TEXTS,
                        "line 2: '1_0' is not a number"),
    'terminal codes': (rewritten(lambda raw: replace_number(raw, b'\x1b[2Jx')), TEXTS,
                       r"line 2: '\\x1b\[2Jx' is not a number"),
    'a NaN in results': (words_in(b'[0.0, ', b'[NaN, '), ['own.json'], 'NaN is not a finite number'),
    'a word in results': (words_in(b'[0.0, ', b'["0", '), ['own.json'], "methods.KSOF.*: '0', expected"),
    'endless brackets': (lambda path: path.write_bytes(b'[' * 100_000), ['own.json'], 'recursion'),
    'no list of persons': (lambda path: path.write_bytes(b'\x80\x02}.'), PICKLES, 'no list of persons'),
    'wrong columns': (numbers_in(lambda array: array[:, :-3]), [*PICKLES, 'own.npy'],
                      'shape|35 joints: a cmu model takes'),
    'a NaN position': (numbers_in(put((1, 9), float('nan'))), PICKLES,
                       'person 2: frame 1 holds a value that is not'),
    'a huge position': (numbers_in(put((1, 9), 1e300)), PICKLES,
                        'person 2: frame 1 holds a value that is not'),
    'a joint 12 m away': (numbers_in(lambda array: put((0, 30), array[0, 0] + 12)(array)), PICKLES,
                          'person 2: frame 0 has a joint 1[12].* m from the root'),
    'a NaN in .npy': (numbers_in(put((1, 9, 0), float('nan'))), ['own.npy'], 'finite numbers'),
    'a huge number in .npy': (numbers_in(put((1, 9, 0), 1e300)), ['own.npy'], 'frame 1: a joint is'),
    'a joint 12 m away in .npy': (numbers_in(put((2, 9, 0), 12_000)), ['own.npy'],
                                  'frame 2: a joint is 1[12].* m from the'),
    'more numbers told than held': (words_in(b"(3, 38, 3)", b"(3000000000, 38, 3)"), ['own.npy'],
                                    'not a readable .npy'),
    'a NaN in .amc': (words_in(b'root 0.5 ', b'root nan '), ['98_01.amc'],
                      'line 5: root: nan is not a finite number'),
    '1e300 in .amc': (words_in(b'root 0.5 ', b'root 1e300 '), ['98_01.amc'],
                      'line 5: root: 1e300 is not a finite'),
    'a value less in .amc': (words_in(b'root 0.5 ', b'root '), ['98_01.amc'],
                             'line 5: root: 5 values, expected 6'),
    'a unit that is none': (words_in(b'length 0.45', b'length nan'), ['98.asf'],
                            'line 5: length: nan is not a finite number'),
    'a tiny unit': (words_in(b'length 0.45', b'length 1e-300'), ['98.asf'], 'no length unit between'),
    'channels of an end site': (words_in(b'End Site\n', b'End Site\nCHANNELS 1 Xrotation\n'), ['own.bvh'],
                               'CHANNELS: LeftToeBase_EndSite has channels already, or is an end site'),
    'four turns': (words_in(b'CHANNELS 3 Z', b'CHANNELS 4 Xrotation Z'), ['own.bvh'], 'up to three turns'),
    'one axis twice': (words_in(b'CHANNELS 3 Zrotation Y', b'CHANNELS 3 Zrotation Z'), ['own.bvh'],
                       'no two about the same axis'),
    'a NaN in .bvh': (words_in(b'Frame Time: 0.0083333\n', b'Frame Time: 0.0083333\nnan '), ['own.bvh'],
                      'expected 96'),
    'a time of 1e-320': (words_in(b'0.0083333', b'1e-320'), ['own.bvh'], 'no camera has that'),
}
CASES = [(damage, name) for damage, (_, names, _) in DAMAGES.items() for name in names]


def lay_out(name, valid, folder):
    """Copies a valid file to where its command looks for it, with what else that needs; returns the copy."""
    places = PLACES.get(name[0])
    if places is None:
        shutil.copytree(valid, folder, dirs_exist_ok=True)
        return folder / name
    for place in places:
        (folder / place).mkdir(parents=True)
        shutil.copyfile(valid / name, folder / place / name)
    return folder / places[0] / name


def run_on(name, path, folder):
    """Run the command that reads a file of this kind; its exit code."""
    if name == 'ckpt.pth.tar':
        return run_tool(predict.main, [str(path), str(folder / 'own.amc')])
    if name == 'own.json':
        return run_tool(compare.main, [str(path)])
    if path.parent == folder:
        motion = path if name != '98.asf' else path.with_name('98_01.amc')
        more = {'.npy': ['--fps', '120', '--units', 'mm'], '.bvh': ['--units', 'asf']}.get(motion.suffix, [])
        asf = ['--asf', str(path)] if name == '98.asf' else []
        return run_tool(predict.main, [str(folder / 'ckpt.pth.tar'), str(motion), *more, *asf])
    reader, script = MAINS[name[0]]
    words = ['--data_dir', str(folder), '--exp', str(folder / 'run'), *TINY, '--allow_missing']
    return main(reader, script.DEFAULTS, words)


@pytest.mark.parametrize('damage, name', CASES, ids=[f'{name}, {damage}' for damage, name in CASES])
def test_damaged_files(damage, name, valid, tmp_path, capsys):
    change, _, said = DAMAGES[damage]
    path = lay_out(name, valid, tmp_path)
    change(path)
    before = content(tmp_path)
    assert run_on(name, path, tmp_path) == 2
    # It is one of a fixed set of files, and the only one here.
    missing = name.startswith('walking') and not path.exists()
    line = one_line(capsys.readouterr().err, naming=tmp_path if missing else path)
    assert re.search('none of the train files' if missing else said, line), line
    assert content(tmp_path) == before


@pytest.mark.parametrize('name', READ)
def test_the_same_files_undamaged_are_refused_for_nothing_but_their_length(name, valid, tmp_path, capsys):
    path = lay_out(name, valid, tmp_path)
    READ[name](path)
    if name not in ('ckpt.pth.tar', 'own.json'):
        assert run_on(name, path, tmp_path) == 2
        line = one_line(capsys.readouterr().err)
        assert 'no sequence has the' in line or 'so it takes' in line


@contextmanager
def nobody():
    """Without the administrator's rights, who may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_folder():
    """A folder that anyone may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob('*')]:
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize('name', READ)
def test_files_without_permission(name, valid, open_folder, capsys):
    path = lay_out(name, valid, open_folder)
    open_folder.chmod(0o755)
    path.chmod(0)
    with nobody():
        assert run_on(name, path, open_folder) == 2
    assert 'Permission denied' in one_line(capsys.readouterr().err, naming=path)


@pytest.mark.parametrize('name, closed',
                         [('walking_1.txt', '.'), ('walking_1.txt', 'S1'), ('running_1.txt', '.'),
                          ('running_1.txt', 'train'), ('running_1.txt', 'train/running'),
                          ('scene.pkl', '.'), ('scene.pkl', 'train')])
@pytest.mark.parametrize('mode', [0o000, 0o444])
def test_folders_without_permission(name, closed, mode, valid, open_folder, capsys):
    path = lay_out(name, valid, open_folder)
    (open_folder / closed).chmod(mode)
    with nobody():
        assert run_on(name, path, open_folder) == 2
    one_line(capsys.readouterr().err, naming=open_folder)


@pytest.mark.parametrize('name', ['walking_1.txt', 'running_1.txt', 'scene.pkl'])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name, valid, tmp_path, capsys):
    path = lay_out(name, valid, tmp_path)
    pipe_instead(path)
    assert run_on(name, path, tmp_path) == 2
    one_line(capsys.readouterr().err, naming=path)


def test_checkpoints_of_other_content(command, tmp_path, capsys):
    assert command('--epoch', '1') == 0
    path = tmp_path / 'run' / 'ckpt_best.pth.tar'
    good = torch.load(path, weights_only=True)
    read_by_both = [{'options': 'none'}, {'model': []}, {'epoch': 'three'}, {'model': {}},
                    {'model': {'a': torch.zeros(1)}}]
    read_to_go_on = [{'history': 3}, {'progress': {'colour': 'red'}}, {'optimizer': {}},
                     {'random': {'cpu': torch.zeros(3)}}, {'lr_scheduler': None}, {'criterion': 1},
                     {'training_windows': []}]
    for action, spoils in (('--is_eval', read_by_both), ('--is_load', read_by_both + read_to_go_on)):
        for spoil in spoils:
            torch.save(good | spoil, path)
            capsys.readouterr()
            assert command('--epoch', '2', action, '--ckpt', str(path)) == 2, spoil
            one_line(capsys.readouterr().err, naming=path)
