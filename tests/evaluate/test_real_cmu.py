"""Known numbers of the real CMU benchmark files; skipped where they are not on the machine."""
import json

import pytest
import torch

from main_cmu_3d import DEFAULTS
from model.baselines import ZeroVelocity
from tests.conftest import PROJECT
from utils.data.cmu import ACTIONS, DATASET
from utils.data.dataset import find_root
from utils.data.windows import build_windows
from utils.evaluate.metrics import by_action
from utils.evaluate.scoring import evaluate
from utils.run import main

TESTABLE = ('basketball', 'jumping', 'running', 'soccer', 'walking', 'washwindow')


@pytest.mark.parametrize('output_n, expected', [(25, [22.65, 43.26, 80.12, 96.12, 122.97, 163.66]),
                                                (10, [22.45, 42.85, 79.25, 94.99])])
def test_zero_velocity_on_the_test_files(real_cmu, output_n, expected):
    windows = build_windows(DATASET, find_root(str(real_cmu), DATASET), 'test', input_n=10, output_n=output_n,
                            dct_n=15, skip_rate=1, test_sample_num=-1, device=torch.device('cpu'))
    if set(windows.counts()) != set(TESTABLE):
        pytest.skip(f'these numbers are for the six actions {", ".join(TESTABLE)}; here are '
                    f'{", ".join(windows.counts())}')
    errors = evaluate(ZeroVelocity(output_n), windows, DATASET.skeleton, batch_size=512, title='testing')
    average = by_action(errors.all_joints, windows.action_index, ACTIONS)['avg']
    shown = [average[label // 40 - 1] for label in (80, 160, 320, 400, 560, 1000)[: len(expected)]]
    assert shown == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize('name', ['cmu_short', 'cmu_long'])
def test_released_weights_score_what_their_tables_say(name, real_cmu, tmp_path):
    """Right after cloning, and without writing over what was released."""
    released = PROJECT / 'checkpoint' / name
    options = json.loads((released / 'options.json').read_text())['options']
    shape = ['--output_n', str(options['output_n']), '--d_model', str(options['d_model']),
             '--recipe', 'accurate']
    words = ['--data_dir', str(real_cmu), *shape, '--cuda_idx', 'cpu', '--is_eval',
             '--ckpt', str(released / 'ckpt_best.pth.tar'), '--exp', str(tmp_path)]
    assert main(DATASET, DEFAULTS, words) == 0
    expected, found = (json.loads((folder / 'results.json').read_text()) for folder in (released, tmp_path))
    if found['windows'] != expected['windows']:
        pytest.skip('the tables are of the six test actions that were at hand')
    assert found['epoch'] == expected['epoch']
    for method, table in expected['methods'].items():
        for action, errors in table.items():
            assert found['methods'][method][action] == pytest.approx(errors, abs=0.01), (method, action)
