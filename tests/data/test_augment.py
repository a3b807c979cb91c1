"""Training windows that are changed each time they are taken."""
import numpy as np
import pytest
import torch

from model.ksof import KSOF
from utils.data.augment import Augmentation, mirrored
from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M, THREEDPW
from utils.evaluate.symmetry import SymmetryAverage


@pytest.mark.parametrize('skeleton', [CMU, H36M, THREEDPW])
def test_every_joint_has_its_opposite(skeleton):
    opposite = skeleton.mirror_index
    assert [opposite[j] for j in opposite] == list(range(len(opposite)))
    sides = [name for name in skeleton.joints
             if name.lower().startswith(('left', 'right')) or name[:2] in ('LH', 'RH', 'LT', 'RT')]
    assert [skeleton.joints[j] for j in range(len(opposite)) if opposite[j] != j] == sides
    for joint, other in enumerate(opposite):
        role = skeleton.rows[joint][2]
        assert role == skeleton.rows[other][2] or role in skeleton.joints
        parent, opposite_parent = skeleton.parents[joint], skeleton.parents[other]
        assert (opposite[parent] if parent >= 0 else -1) == opposite_parent


def test_mirrored_poses_are_those_of_mirrored_rotations():
    """Exponential maps seen in a mirror across x keep their x and turn the other way about y and z."""
    rotations = np.random.default_rng(0).normal(0, 0.3, (20, len(CMU.joints), 3))
    rotations[:, 0] = 0
    there = rotations[:, list(CMU.mirror_index)] * [1, -1, -1]
    poses = torch.from_numpy(joint_positions(rotations, CMU).reshape(20, -1))
    seen = mirrored(poses, torch.tensor(CMU.mirror_index)).unflatten(-1, (-1, 3))
    expected = torch.from_numpy(joint_positions(there, CMU))
    # The two sides of the benchmark's skeleton differ in length.
    # Added up from the hips and shoulders on, it is up to 2 cm.
    assert (seen - expected).norm(dim=-1).max() < 60
    assert (seen - expected).norm(dim=-1).mean() < 10
    index = torch.tensor(CMU.mirror_index)
    assert torch.equal(mirrored(mirrored(poses, index), index), poses)


def line(recordings=(30, 40), joints=2):
    """Returns frames whose every coordinate is the frame's number in its recording.

    There are 1000 more for each recording before it.
    """
    motion = torch.cat([torch.arange(length) + 1000.0 * i for i, length in enumerate(recordings)])
    return motion[:, None].expand(-1, 3 * joints).contiguous()


def test_stretched_windows_stay_in_their_recording_and_run_at_drawn_speeds():
    torch.manual_seed(0)
    frames, length = line(), 12
    starts = torch.cat([torch.arange(0, 19), torch.arange(30, 59)]).repeat(50)
    ends = torch.where(starts < 30, 30, 70)
    changes = Augmentation(mirror=0, reverse=0, stretch=0.5, shift=0, mirror_index=torch.tensor([1, 0]))
    windows = changes.windows(frames, starts, ends, length)
    assert torch.equal(windows[:, 0], frames[starts])
    speeds = torch.diff(windows[..., 0], dim=1)
    # Straight motion stays straight.
    assert torch.allclose(speeds, speeds[:, :1].expand_as(speeds), atol=1e-3)
    assert (windows[:, -1, 0] <= frames[ends - 1, 0] + 1e-3).all()
    free = speeds[(ends - 1 - starts) >= 1.5 * (length - 1), 0]
    assert free.min() > 1 / 1.5 - 1e-3 and free.max() < 1.5 + 1e-3
    assert abs(free.log().mean()) < 0.02 and free.log().std() > 0.2  # as often slower as faster


@pytest.mark.parametrize('change', ['mirror', 'reverse'])
def test_a_share_of_the_windows_is_changed_whole(change):
    torch.manual_seed(0)
    frames = torch.randn(100, 6)
    starts = torch.arange(80).repeat(20)
    opposite = torch.tensor([1, 0])
    plain = frames[starts[:, None] + torch.arange(5)]
    changes = Augmentation(**{'mirror': 0.0, 'reverse': 0.0, change: 0.3}, stretch=0.0, shift=0,
                           mirror_index=opposite)
    windows = changes.windows(frames, starts, torch.full_like(starts, 100), 5)
    same = (windows == plain).flatten(1).all(1)
    expected = {'mirror': mirrored(plain, opposite), 'reverse': plain[:, [4, 3, 2, 1, 0]]}[change]
    other = (windows == expected).flatten(1).all(1)
    assert (same ^ other).all() and 0.25 < other.float().mean() < 0.35


def test_shifts_are_constant_in_a_window_and_as_large_as_asked():
    torch.manual_seed(0)
    frames, starts = torch.randn(100, 6), torch.arange(80).repeat(50)
    plain = frames[starts[:, None] + torch.arange(5)]
    augmentation = Augmentation(0, 0, 0.0, 20.0, torch.tensor([1, 0]))
    change = augmentation.windows(frames, starts, torch.full_like(starts, 100), 5) - plain
    assert torch.allclose(change, change[:, :1].expand_as(change), atol=1e-4)
    assert abs(change[:, 0].std() - 20) < 0.5 and abs(change.mean()) < 0.5
    assert torch.corrcoef(change[:, 0].T).fill_diagonal_(0).abs().max() < 0.1


def test_symmetry_averages_both_views_in_evaluation_alone():
    torch.manual_seed(0)
    opposite = CMU.predicted_mirror_index
    sizes = {'node_n': CMU.node_n, 'input_n': 10, 'output_n': 5, 'dct_n': 8, 'num_gcn': 1, 'd_model': 1,
             'dropout': 0.0}
    plain, bare = KSOF(**sizes).eval(), KSOF(**sizes).eval()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    bare.load_state_dict(plain.state_dict())
    symmetric = SymmetryAverage(bare, opposite).eval()
    observed = 100 * torch.randn(3, 10, CMU.node_n)
    there = mirrored(observed, torch.tensor(opposite))
    for own, seen, mean in zip(plain(observed), plain(there), symmetric(observed), strict=True):
        joints = seen.unflatten(-1, (-1, 3))[:, :, opposite] * torch.tensor([-1, 1, 1])
        assert torch.allclose(mean, (own + joints.flatten(-2)) / 2, atol=1e-3)
        assert not torch.allclose(mean, own, atol=1e-1)
    for mean, of_image in zip(symmetric(observed), symmetric(there), strict=True):
        assert torch.allclose(mirrored(mean, torch.tensor(opposite)), of_image, atol=1e-3)
    assert torch.equal(plain.train()(observed).fused, bare.train()(observed).fused)
