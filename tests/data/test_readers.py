"""The three readers on hand-made trees: which files, in which spellings, and what is refused."""
import gzip
import pickle
import shutil

import numpy as np
import pytest

from utils.common import checkpoint
from utils.common.errors import InputError
from utils.data import cmu, h36m, threedpw
from utils.data.dataset import find_root, missing_files, read_recordings
from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M

SPLITS = ('train', 'validation', 'test')
ROWS = np.random.default_rng(0).normal(size=(6, 99)).round(4)
TEXT = '\n'.join(','.join(map(str, row)) for row in ROWS) + '\n'
PACKED = gzip.compress(TEXT.encode(), mtime=0)


@pytest.fixture
def h36m_root(tmp_path):
    """A whole Human3.6M tree of 3-frame takes, in the folder spelling of the original archive."""
    root = tmp_path / 'data' / 'h3.6m' / 'dataset'
    for split in SPLITS:
        for name in h36m.DATASET.expected(split):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(TEXT)
    return root


def poses(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == '.gz' else text.encode())
    return h36m.read(path)[0]


# Folders

@pytest.mark.parametrize('dataset, inner, given', [
    (h36m, 'h36m', ''), (h36m, 'h36m', 'h36m'), (h36m, 'h3.6m/dataset', ''), (h36m, 'h3.6m/dataset', 'h3.6m'),
    (h36m, 'h3.6m/dataset', 'h3.6m/dataset'),
    (cmu, 'cmu_mocap', ''), (cmu, 'cmu_mocap', 'cmu_mocap'),
    (threedpw, '3dpw/sequenceFiles', ''), (threedpw, '3dpw/sequenceFiles', '3dpw'),
    (threedpw, '3dpw/sequenceFiles', '3dpw/sequenceFiles')])
def test_root_or_inner_folder(tmp_path, dataset, inner, given):
    for other in ('h36m', 'h3.6m', 'cmu_mocap', '3dpw'):
        (tmp_path / other).mkdir()
    for name in dataset.DATASET.inside[:3]:
        (tmp_path / inner / name).mkdir(parents=True, exist_ok=True)
    assert find_root(str(tmp_path / given), dataset.DATASET) == tmp_path / inner


def test_a_folder_without_the_data_is_refused(tmp_path):
    with pytest.raises(InputError, match='no such folder'):
        find_root(str(tmp_path / 'absent'), h36m.DATASET)
    for dataset in (h36m, cmu, threedpw):
        with pytest.raises(InputError, match=f'no {dataset.DATASET.name} data there; looked for '
                                             f'.*{tmp_path}'):
            find_root(str(tmp_path), dataset.DATASET)


# Human3.6M

def test_h36m_splits_and_takes(h36m_root):
    subjects = {'train': {'S1', 'S6', 'S7', 'S8', 'S9'}, 'validation': {'S11'}, 'test': {'S5'}}
    for split in SPLITS:
        recordings = read_recordings(h36m.DATASET, h36m_root, split, 20)
        assert {recording.source.split('/')[0] for recording in recordings} == subjects[split]
        assert len(recordings) == 30 * len(subjects[split])
        for first, second in zip(recordings[::2], recordings[1::2], strict=True):
            assert first.source == second.source.replace('_2.txt', '_1.txt')
            assert first.action == second.action == first.source.split('/')[1].removesuffix('_1.txt')
        assert {recording.action for recording in recordings} == set(h36m.ACTIONS)


def test_h36m_frames_are_every_second_row_without_global_motion(h36m_root):
    frames = read_recordings(h36m.DATASET, h36m_root, 'test', 20)[0].frames
    rotations = ROWS[::2, 3:].reshape(3, 32, 3).copy()
    rotations[:, 0] = 0
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames, joint_positions(rotations, H36M), atol=1e-3)


@pytest.mark.parametrize('name, change', [
    ('walking_1.txt', lambda text: text.replace('\n', '\r\n')),
    ('walking_1.txt', lambda text: text + '\n  \n\r\n\n'),
    ('walking_1.txt', lambda text: text.rstrip('\n')),
    ('walking_1.txt', lambda text: '\ufeff' + text),
    ('walking_1.txt', lambda text: text.replace(',', ', ')),
    ('walking_1.txt.gz', lambda text: text),
    ('walking_1.txt.gz', lambda text: text.replace('\n', '\r\n') + '\r\n')],
    ids=['Windows', 'blank lines', 'no last line end', 'byte order mark', 'spaces', 'gzip',
         'gzip and Windows'])
def test_spellings_of_text(tmp_path, name, change):
    np.testing.assert_array_equal(poses(tmp_path / 'changed' / name, change(TEXT)),
                                  poses(tmp_path / 'plain.txt', TEXT))


@pytest.mark.parametrize('change, problem', [
    (lambda lines: lines[:3] + [lines[3] + ',1'] + lines[4:], 'line 4: 100 columns, expected 99'),
    (lambda lines: lines[:5] + [lines[5][:100]], 'line 6: .* columns, expected 99; mend the line or fetch '
                                                 'the file again'),
    (lambda lines: [line.rsplit(',', 3)[0] for line in lines], 'line 1: 96 columns, expected 99'),
    (lambda lines: lines[:2] + [''] + ['x' + lines[2]] + lines[3:], "line 4: 'x.*' is not a number"),
    (lambda lines: [lines[0].replace(lines[0].split(',')[7], 'nan')] + lines[1:],
     'line 1: nan is not a finite number'),
    (lambda lines: ['', ''], 'is empty')])
def test_wrong_text_is_refused_with_file_and_line(tmp_path, change, problem):
    for name in ('walking_1.txt', 'walking_2.txt.gz'):
        with pytest.raises(InputError, match=f'{name}: {problem}'):
            poses(tmp_path / name, '\n'.join(change(TEXT.splitlines())))


@pytest.mark.parametrize('raw', [b'\x1f\x8b not gzip', PACKED[:-50], b'\xff\xfe\x00\x01',
                                 gzip.compress(b'\xff\xfe', mtime=0),
                                 PACKED[:200] + bytes(50) + PACKED[250:]])
def test_damaged_gzip_is_refused(tmp_path, raw):
    path = tmp_path / 'walking_1.txt.gz'
    path.write_bytes(raw)
    with pytest.raises(InputError, match='walking_1.txt.gz: '):
        h36m.read(path)


def test_a_missing_take_or_subject_is_named(h36m_root, caplog):
    assert [missing_files(h36m.DATASET, h36m_root, split, allow=False) for split in SPLITS] == [[], [], []]
    (h36m_root / 'S5/eating_2.txt').unlink()
    shutil.rmtree(h36m_root / 'S7')
    with pytest.raises(InputError, match='S5/eating_2.txt: no such file; add --allow_missing'):
        missing_files(h36m.DATASET, h36m_root, 'test', allow=False)
    with pytest.raises(InputError, match=r'S7/walking_1.txt: no such file \(29 other files of train are '
                                         r'missing'):
        missing_files(h36m.DATASET, h36m_root, 'train', allow=False)
    caplog.set_level('WARNING', logger='ksof')
    assert missing_files(h36m.DATASET, h36m_root, 'test', allow=True) == ['S5/eating_2.txt']
    assert 'S5/eating_2.txt' in caplog.text
    sources = [recording.source for recording in read_recordings(h36m.DATASET, h36m_root, 'test', 20)]
    assert len(sources) == 29 and 'S5/eating_1.txt' in sources
    assert len(read_recordings(h36m.DATASET, h36m_root, 'train', 20)) == 120
    shutil.rmtree(h36m_root / 'S5')
    with pytest.raises(InputError, match='none of the test files, S5/'):
        read_recordings(h36m.DATASET, h36m_root, 'test', 20)


@pytest.mark.parametrize('allow', [False, True])
def test_another_format_is_told_which_is_read(tmp_path, allow):
    for split in SPLITS:
        for subject in h36m.SUBJECTS[split]:
            (tmp_path / subject / 'MyPoseFeatures').mkdir(parents=True)
            (tmp_path / subject / 'MyPoseFeatures' / 'Walking 1.cdf').write_bytes(b'CDF')
    with pytest.raises(InputError, match='none of the test files, .*maps as text, not the '
                                         '.cdf.*docs/data.md') as said:
        missing_files(h36m.DATASET, tmp_path, 'test', allow=allow)
    assert 'allow_missing' not in str(said.value)


@pytest.mark.parametrize('read, name',
                         [(h36m.read, 'a.txt'), (threedpw.read, 'a.pkl'), (checkpoint.load, 'a.pth.tar')])
def test_a_git_lfs_pointer_is_called_one(tmp_path, read, name):
    (tmp_path / name).write_text('version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 5\n')
    with pytest.raises(InputError, match=f'{name}: is a Git LFS pointer, not the file itself: fetch it with '
                                         '`git lfs pull`'):
        read(tmp_path / name)


def test_hidden_files_are_no_data(tmp_path):
    people = {'jointPositions': [np.zeros((4, 72))]}
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test/scene.pkl').write_bytes(pickle.dumps(people, protocol=2))
    (tmp_path / 'test/._scene.pkl').write_bytes(b'\0\5\x16\7Mac OS X')
    assert [recording.source
            for recording in read_recordings(threedpw.DATASET, tmp_path, 'test', 20)] == ['test/scene.pkl']


def test_a_packed_take_is_not_missing(h36m_root):
    plain = h36m_root / 'S5/eating_2.txt'
    plain.with_name('eating_2.txt.gz').write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert missing_files(h36m.DATASET, h36m_root, 'test', allow=False) == []
    assert read_recordings(h36m.DATASET, h36m_root, 'test', 20)[3].source == 'S5/eating_2.txt.gz'


# CMU mocap

def test_cmu_files_in_numeric_order_once_each(tmp_path):
    text = '\n'.join(','.join(['0.1'] * 117) for _ in range(4))
    for name in ('walking_10.txt', 'walking_2.txt', 'walking_2.txt.gz', 'walking_3.txt.gz',
                 'walking_extra.txt', 'notes.txt'):
        path = tmp_path / 'test' / 'walking' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == '.gz' else text.encode())
    recordings = read_recordings(cmu.DATASET, tmp_path, 'test', 20)
    assert [recording.source for recording in recordings] == [
        'test/walking/walking_2.txt', 'test/walking/walking_3.txt.gz', 'test/walking/walking_10.txt']
    assert all(recording.frames.shape == (2, len(CMU.joints), 3) for recording in recordings)
    with pytest.raises(InputError, match='train: no such folder'):
        read_recordings(cmu.DATASET, tmp_path, 'train', 20)


@pytest.mark.parametrize('length, train, held', [(1000, 900, 100), (80, 45, 35), (70, 35, 35), (69, 69, 0)])
def test_cmu_validation_shares_no_frame_with_training(length, train, held):
    first, last = cmu.hold_out(np.arange(length), 35)
    assert (len(first), len(last)) == (train, held)
    np.testing.assert_array_equal(np.concatenate([first, last]), np.arange(length))


def test_a_refit_trains_on_whole_recordings_and_validates_and_tests_on_what_it_did(sample_cmu):
    root = sample_cmu / 'cmu_mocap'
    read = {(split, refit): read_recordings(cmu.DATASET, root, split, 35, refit=refit)
            for split in SPLITS for refit in (False, True)}
    parts = {recording.source: recording.frames for recording in read['train', False]}
    ends = {recording.source: recording.frames for recording in read['validation', False]}
    assert parts.keys() == ends.keys() == {recording.source for recording in read['train', True]}
    for recording in read['train', True]:
        joined = np.concatenate([parts[recording.source], ends[recording.source]])
        np.testing.assert_array_equal(recording.frames, joined)
    for split in ('validation', 'test'):
        for plain, refit in zip(read[split, False], read[split, True], strict=True):
            assert plain.source == refit.source
            np.testing.assert_array_equal(plain.frames, refit.frames)


# 3DPW

def test_every_person_of_a_file_is_a_recording_in_mm_around_the_pelvis(tmp_path):
    two = [np.random.default_rng(i).normal(size=(5 + i, 72)) for i in (0, 1)]
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'b_two.pkl').write_bytes(pickle.dumps({'jointPositions': two}, protocol=2))
    (tmp_path / 'test' / 'a_one.pkl').write_bytes(pickle.dumps({'jointPositions': two[:1]}, protocol=2))
    for _ in ('parsed', 'cached'):
        recordings = read_recordings(threedpw.DATASET, tmp_path, 'test', 40)
        assert [recording.source for recording in recordings] == ['test/a_one.pkl', 'test/b_two.pkl',
                                                                  'test/b_two.pkl']
        for recording, metres in zip(recordings, [two[0], *two], strict=True):
            joints = metres.reshape(-1, 24, 3)
            np.testing.assert_allclose(recording.frames, 1000 * (joints - joints[:, [0]]), atol=1e-3)
            assert recording.action == 'all' and not recording.frames[:, 0].any()
    (tmp_path / 'train').mkdir()
    with pytest.raises(InputError, match='holds no sequence file'):
        read_recordings(threedpw.DATASET, tmp_path, 'train', 40)
    with pytest.raises(InputError, match='validation: no such folder'):
        read_recordings(threedpw.DATASET, tmp_path, 'validation', 40)


def test_sources_are_never_modified(h36m_root):
    before = {path: path.read_bytes() for path in h36m_root.rglob('*.txt')}
    for split in SPLITS:
        read_recordings(h36m.DATASET, h36m_root, split, 20)
    assert {path: path.read_bytes() for path in h36m_root.rglob('*.txt')} == before
