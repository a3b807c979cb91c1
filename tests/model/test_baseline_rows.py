"""Both baselines' rows of a run, against the protocols written out once more in numpy, without utils/.

Files are read, posed, cut into windows, scored and averaged here in the plainest way.
The runs go through the mains.
"""
import importlib
import json
import pickle

import numpy as np
import pytest

INPUT_N = 10
OUTPUT_N = {'h36m': 10, 'cmu': 25, '3dpw': 30}
MAINS = {'h36m': 'main_h36m', 'cmu': 'main_cmu_3d', '3dpw': 'main_3dpw'}
H36M_ACTIONS = ['walking', 'eating', 'smoking', 'discussion', 'directions', 'greeting', 'phoning', 'posing',
                'purchases', 'sitting', 'sittingdown', 'takingphoto', 'waiting', 'walkingdog',
                'walkingtogether']
CMU_ACTIONS = ['basketball', 'basketball_signal', 'directing_traffic', 'jumping', 'running', 'soccer',
               'walking', 'washwindow']


def rotation_matrices(vectors):
    """Rodrigues' formula on (..., 3) rotation vectors."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None]
    x, y, z = np.moveaxis(vectors / np.where(angle > 0, angle, 1), -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y], [z, zero, -x], [-y, x, zero]
    cross = np.stack([np.stack(row, -1) for row in rows], -2)
    return np.eye(3) + np.sin(angle)[..., None] * cross + (1 - np.cos(angle))[..., None] * cross @ cross


def poses_from_text(path, lists):
    """(F, J, 3) mm of one text file: every second row, global translation and rotation zeroed."""
    rows = np.array([[float(number) for number in line.split(',')] for line in path.read_text().split()])[::2]
    rows[:, :6] = 0
    turn = rotation_matrices(rows[:, 3:].reshape(len(rows), -1, 3))
    poses = np.zeros((len(rows), len(lists['parents']), 3))
    for joint, parent in enumerate(lists['parents']):
        if joint:
            bone = np.einsum('i,fij->fj', lists['offsets_mm'][joint], turn[:, parent])
            poses[:, joint] = poses[:, parent] + bone
            turn[:, joint] = turn[:, joint] @ turn[:, parent]
    return poses


def sequences_of(dataset, root, lists):
    """action -> the test sequences of that action."""
    if dataset == 'h36m':
        return {action: [poses_from_text(root / f'h36m/S5/{action}_{take}.txt', lists) for take in (1, 2)]
                for action in H36M_ACTIONS}
    if dataset == 'cmu':
        return {action: [poses_from_text(root / f'cmu_mocap/test/{action}/{action}_1.txt', lists)]
                for action in CMU_ACTIONS}
    people = [person.reshape(len(person), 24, 3) * 1000
              for path in sorted((root / '3dpw/sequenceFiles/test').glob('*.pkl'))
              for person in pickle.loads(path.read_bytes())['jointPositions']]
    return {'all': [person - person[:, :1] for person in people]}


def starts_of(dataset, lengths, protocol):
    """First frames of the windows in each sequence of one action."""
    output_n = OUTPUT_N[dataset]
    last = [length - INPUT_N - output_n for length in lengths]
    if protocol == 'all':
        first = 50 - INPUT_N if dataset == '3dpw' else 0
        return [list(range(first, end + 1)) for end in last]
    count, random = int(protocol), np.random.RandomState(1234567890)
    if dataset == 'h36m':
        draws = [[random.randint(16, length - 150) for length in lengths] for _ in range(count // 2)]
        return [[pair[take] + 50 - INPUT_N for pair in draws] for take in (0, 1)]
    if dataset == 'cmu':
        assert len(lengths) == 1
        return [[random.randint(0, lengths[0] - 50 - output_n) + 50 - INPUT_N for _ in range(count)]]
    return [(np.random.RandomState(1234567890).randint(40, end + 1, size=count)).tolist() for end in last]


def expected_rows(dataset, sequences, lists, protocol):
    """Returns baseline -> action or 'avg' -> MPJPE in mm at each predicted frame.

    And the number of windows of each action.
    """
    rows, counts = {'zero velocity': {}, 'constant velocity': {}}, {}
    steps = np.arange(1, OUTPUT_N[dataset] + 1)[:, None, None]
    for action, own_sequences in sequences.items():
        errors = {name: [] for name in rows}
        starts = starts_of(dataset, [len(sequence) for sequence in own_sequences], protocol)
        for sequence, own in zip(own_sequences, starts, strict=True):
            windows = np.stack([sequence[start:start + INPUT_N + OUTPUT_N[dataset]] for start in own])
            seen, truth = windows[:, :INPUT_N], windows[:, INPUT_N:]  # (W, T, J, 3)
            for name, speed in (('zero velocity', 0), ('constant velocity', 1)):
                guess = seen[:, -1:] + speed * steps * (seen[:, -1:] - seen[:, -2:-1])
                scored = truth.copy()
                scored[:, :, lists['predicted']] = guess[:, :, lists['predicted']]
                for joint, source in zip(lists['copied'], lists['copied_from'], strict=True):
                    scored[:, :, joint] = guess[:, :, source]
                errors[name] += list(np.sqrt(((scored - truth) ** 2).sum(-1)).mean(-1))
        counts[action] = sum(len(own) for own in starts)
        for name in rows:
            rows[name][action] = np.mean(errors[name], axis=0)
    for table in rows.values():
        table['avg'] = np.mean(list(table.values()), axis=0)
    return rows, counts


@pytest.mark.parametrize('dataset', MAINS)
def test_rows_equal_the_protocols_written_out(dataset, request, golden_path, tmp_path):
    root = request.getfixturevalue(f'sample_{dataset}')
    lists = json.loads((golden_path / 'skeletons.json').read_text())[dataset]
    script = importlib.import_module(MAINS[dataset])
    settings = ('--cuda_idx cpu --d_model 1 --num_gcn 1 --dct_n 5 --topk off --test_batch_size 256 --epoch 1 '
                '--skip_rate 100')
    sequences = sequences_of(dataset, root, lists)
    command = ['--data_dir', str(root), '--exp', str(tmp_path / 'run'), *settings.split()]
    for protocol in ('all', '256', '8'):
        evaluate = ['--is_eval', '--test_sample_num', protocol] if protocol != 'all' else []
        assert script.main(script.DATASET, script.DEFAULTS, command + evaluate) == 0
        results = json.loads((tmp_path / 'run' / 'results.json').read_text())
        expected, counts = expected_rows(dataset, sequences, lists, protocol)
        assert results['protocol'] == protocol and results['windows'] == counts
        for name, table in expected.items():
            assert list(results['methods'][name]) == list(table)
            for action, errors in table.items():
                np.testing.assert_allclose(results['methods'][name][action], errors, rtol=0, atol=0.01,
                                           err_msg=f'{name}, {action}, {protocol}')
