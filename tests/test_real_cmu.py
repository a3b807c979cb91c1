"""Known numbers of the real CMU benchmark files; skipped where they are not on the machine."""
import pytest
import torch

from model.baselines import ZeroVelocity
from utils.data.cmu import ACTIONS, READER
from utils.data.reader import find_root
from utils.data.windows import build_windows
from utils.engine import evaluate
from utils.metrics import by_action

TESTABLE = ('basketball', 'jumping', 'running', 'soccer', 'walking', 'washwindow')


@pytest.mark.parametrize('output_n, expected', [(25, [22.65, 43.26, 80.12, 96.12, 122.97, 163.66]),
                                                (10, [22.45, 42.85, 79.25, 94.99])])
def test_zero_velocity_on_the_test_files(real_cmu, output_n, expected):
    windows = build_windows(READER, find_root(str(real_cmu), READER), 'test', input_n=10, output_n=output_n, dct_n=15,
                            skip_rate=1, test_sample_num=-1, device=torch.device('cpu'))
    if set(windows.counts()) != set(TESTABLE):
        pytest.skip(f'these numbers are for the six actions {", ".join(TESTABLE)}; here are {", ".join(windows.counts())}')
    errors = evaluate(ZeroVelocity(output_n), windows, READER.skeleton, batch_size=512, title='testing')
    average = by_action(errors.all_joints, windows.action_index, ACTIONS)['avg']
    shown = [average[label // 40 - 1] for label in (80, 160, 320, 400, 560, 1000)[: len(expected)]]
    assert shown == pytest.approx(expected, abs=0.006)
