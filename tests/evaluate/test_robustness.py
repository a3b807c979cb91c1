"""Spoilt and moved test windows: each change is what it says, and what must not change does not."""
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from model.baselines import ZeroVelocity
from utils.data.cmu import DATASET
from utils.data.dataset import Recording
from utils.data.windows import cut_windows
from utils.evaluate.results import BASELINES, NETWORK
from utils.evaluate.robustness import (
    at_half_rate,
    conditions,
    errors_under,
    every,
    frames_lost,
    joints_lost,
    noisy,
    turned,
    worse,
)
from utils.report import tables
from utils.report.robustness import Measured, draw_robustness, robustness_blocks

INPUT_N, OUTPUT_N, JOINTS = 6, 5, len(DATASET.skeleton.joints)


@pytest.fixture(scope='module')
def windows():
    """Smooth motion of two actions; one recording is too short for a window at half the rate."""
    draw = np.random.default_rng(0)

    def motion(length):
        times = np.arange(length)[:, None, None] / 20
        waves = np.sin(times + draw.uniform(0, 6, (1, JOINTS, 3)))
        poses = 300 * draw.standard_normal((1, JOINTS, 3)) + 60 * waves
        poses -= poses[:, :1]
        poses[:, list(DATASET.skeleton.copied)] = poses[:, list(DATASET.skeleton.copied_from)]
        return poses.astype(np.float32)

    recordings = [Recording(action, f'{action}_{length}', motion(length))
                  for action, length in (('walking', 41), ('walking', 15), ('soccer', 30))]
    return cut_windows(DATASET, recordings, 'test', input_n=INPUT_N, output_n=OUTPUT_N, dct_n=4, skip_rate=1,
                       test_sample_num=-1, device=torch.device('cpu'), missing=[])


def seeded():
    return torch.Generator().manual_seed(0)


def test_noise_is_as_long_as_it_says():
    observed = torch.zeros(200, INPUT_N, 75)
    moved = noisy(observed, seeded(), mm=20).unflatten(-1, (-1, 3)).norm(dim=-1)
    assert moved.square().mean().sqrt().item() == pytest.approx(20, rel=0.01)
    assert torch.equal(noisy(observed, seeded(), mm=20), noisy(observed, seeded(), mm=20))


def test_lost_joints_stay_where_they_were():
    observed = torch.randn(7, INPUT_N, 75)
    spoilt = joints_lost(observed, seeded(), count=3)
    poses, left = (part.unflatten(-1, (-1, 3)) for part in (observed, spoilt))
    assert torch.equal(left[:, :3], poses[:, :3])
    stays = (left[:, 3:] == poses[:, 2:3]).all(-1).all(1)  # (B, J)
    assert (stays.sum(1) == 3).all() and len(stays.unique(dim=0)) > 1
    others = ~stays[:, None].expand(-1, INPUT_N, -1)
    assert torch.equal(left[others], poses[others])


def test_lost_frames_show_the_one_before():
    observed = torch.arange(INPUT_N).float()[None, :, None].expand(50, -1, 75)
    shown = frames_lost(observed, seeded(), count=2)[:, :, 0].long().tolist()
    for frames in shown:
        lost = [k for k in range(INPUT_N) if frames[k] != k]
        assert len(lost) == 2 and 0 not in lost and all(frames[k] == frames[k - 1] for k in lost)
    assert len({tuple(frames) for frames in shown}) > 5


def test_a_turn_is_about_the_root_and_keeps_lengths(windows):
    quarter = turned(windows, 'y', 90).frames.unflatten(-1, (-1, 3))
    poses = windows.frames.unflatten(-1, (-1, 3))
    torch.testing.assert_close(quarter, torch.stack([poses[..., 2], poses[..., 1], -poses[..., 0]], -1),
                               atol=1e-3, rtol=0)


def test_half_the_rate_is_every_second_frame_of_each_recording(windows):
    half = at_half_rate(windows)
    ends = zip(windows.files, [41, 56, 86], strict=True)
    whole = {file: windows.frames[first:end] for (first, file), end in ends}
    assert len(half) > 0 and {half.source(k).file for k in range(len(half))} == {'walking_41', 'soccer_30'}
    for k in range(len(half)):
        source = half.source(k)
        frames = whole[source.file][2 * source.start :: 2][INPUT_N : INPUT_N + OUTPUT_N]
        assert torch.equal(half.batch(torch.tensor([k])).future_all[0], frames)
    assert len({(half.source(k).file, half.source(k).start) for k in range(len(half))}) == len(half)


def test_zero_velocity_feels_a_turn_as_little_as_another_size(windows):
    measure = partial(errors_under, methods={'held': ZeroVelocity(OUTPUT_N)}, skeleton=DATASET.skeleton,
                      batch_size=16)
    found = {f'{one.kind} {one.level}': measure(one)['held'] for one in conditions(windows)}
    assert len(found) == 1 + 4 + 3 + 3 + 4 + 3 + 4 + 1
    plain = found['as recorded ']
    for name, errors in found.items():
        if name.startswith('body'):
            assert errors == pytest.approx(plain, rel=1e-4), name
    assert found['noise on joints 40 mm'][0] > found['noise on joints 5 mm'][0] > plain[0]
    assert found['frame rate half'][0] == pytest.approx(2 * plain[0], rel=0.2)
    assert found['joints lost 5'][0] > found['joints lost 1'][0] > plain[0]
    assert measure(next(conditions(every(windows, 3))))['held'] == pytest.approx(plain, rel=0.1)


def test_the_page_says_where_the_network_is_worse_than_holding_the_last_pose(tmp_path):
    assert worse([1.0, 3.0, 2.004], [2.0, 2.0, 2.0]) == [1]
    frames = 10
    of = {NETWORK: [5.0 + k for k in range(frames)], **{name: [10.0] * frames for name in BASELINES}}
    noise = Measured('noise on joints', '5 mm', of | {NETWORK: [20.0] * frames})
    measured = [Measured('as recorded', '', of), noise]
    blocks = robustness_blocks('mine', DATASET, frames, measured, windows='3 of 6 test windows')
    page = tables.markdown(blocks)
    assert ('mine is worse than holding the last pose with as recorded (320, 400 ms); noise on joints, 5 mm '
            '(80, 160, 320, 400 ms).') in page
    assert '| noise on joints, 5 mm |   20.00 |' in page and '3 of 6 test windows' in page
    pytest.importorskip('matplotlib')
    draw_robustness('mine', DATASET, frames, measured, tmp_path / 'robustness.png')
    assert (tmp_path / 'robustness.png').read_bytes().startswith(b'\x89PNG')


def test_half_the_rate_is_left_out_where_nothing_is_long_enough(windows):
    short = replace(windows, starts=windows.starts[31:32], action_index=windows.action_index[31:32])
    assert len(at_half_rate(short)) == 0
    assert 'frame rate' not in {one.kind for one in conditions(short)}
