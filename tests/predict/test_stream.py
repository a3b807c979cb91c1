"""Frames one at a time against the same windows at once."""
import numpy as np
import pytest
import torch
from own_motion import save_checkpoint, some_positions

from utils.common.errors import InputError
from utils.data.lookup import DATASETS
from utils.mocap.motion import motion_of_positions
from utils.predict.predictor import load_predictor
from utils.predict.stream import Stream, into_body

FRAMES = 26


@pytest.fixture(scope='module', params=list(DATASETS))
def predictor(request, tmp_path_factory):
    return load_predictor(save_checkpoint(tmp_path_factory.mktemp('run') / 'ckpt.pth.tar', request.param))


@pytest.fixture
def body(predictor):
    """(F, J, 3) poses in true mm, root-centred in the body's frame."""
    positions = some_positions(predictor.dataset, FRAMES, predictor.fps)
    motion = motion_of_positions(positions, predictor.dataset, fps=predictor.fps, units='mm')
    return motion.body * predictor.skeleton.mm_scale_to_true


@torch.inference_mode()
def batch_prediction(predictor, body):
    """The predicted joints' futures after every frame that has enough before it, all windows in one batch."""
    joints, scale = list(predictor.skeleton.predicted), predictor.skeleton.mm_scale_to_true
    seen = torch.from_numpy(body / scale).float()[:, joints].flatten(1)
    windows = seen.unfold(0, predictor.input_n, 1).transpose(1, 2)  # (W, T_in, N)
    return predictor.model(windows).fused.unflatten(-1, (-1, 3)).numpy() * predictor.skeleton.mm_scale_to_true


def test_a_stream_is_the_batch_at_every_frame(predictor, body):
    expected = batch_prediction(predictor, body)
    chosen = list(predictor.skeleton.predicted)
    whole, few = Stream(predictor), Stream(predictor)
    assert np.ptp(expected, axis=0).max() > 1  # the windows' futures differ
    for frame, pose in enumerate(body):
        future, same = whole.push(pose), few.push(pose[chosen])
        if frame < predictor.input_n - 1:
            assert future is None and same is None
            continue
        window = expected[frame - predictor.input_n + 1]
        np.testing.assert_allclose(future[:, chosen], window, atol=0.02)
        np.testing.assert_array_equal(future[:, chosen], same)
        observed = body[frame + 1 - predictor.input_n : frame + 1] / predictor.skeleton.mm_scale_to_true
        np.testing.assert_array_equal(future,
                                      predictor.predict(observed) * predictor.skeleton.mm_scale_to_true)


def test_reset_forgets_everything(predictor, body):
    stream = Stream(predictor)
    first = [stream.push(pose) for pose in body]
    for count in (1, predictor.input_n + 3):
        stream.reset()
        for pose in 2 * body[:count]:
            stream.push(pose)
    stream.reset()
    for before, pose in zip(first, body, strict=True):
        np.testing.assert_equal(stream.push(pose), before)


def test_only_the_last_frames_are_kept(predictor, body):
    stream = Stream(predictor)
    for pose in body:
        stream.push(pose)
    kept = np.stack(stream.frames) * predictor.skeleton.mm_scale_to_true
    last = body[-predictor.input_n:, list(predictor.skeleton.predicted)].reshape(predictor.input_n, -1)
    np.testing.assert_allclose(kept, last, atol=1e-3)


def test_a_result_and_a_frame_are_the_callers_own(predictor, body):
    stream = Stream(predictor)
    for pose in body[:-1]:
        future = stream.push(pose)
    kept, pose = future.copy(), body[-1].copy()
    stream.push(pose)
    assert np.array_equal(future, kept) and np.array_equal(pose, body[-1])


def test_wrong_frames_are_refused_and_change_nothing(predictor, body):
    stream, chosen = Stream(predictor), list(predictor.skeleton.predicted)
    for pose in body[:12]:
        stream.push(pose)
    gap = body[12].copy()
    gap[3, 1] = np.nan
    for wrong, expected in [(body[12][:-2], 'a frame of shape'), (body[12].ravel(), 'a frame of shape'),
                            (body[12:14], 'a frame of shape'), (gap, 'finite'),
                            (body[12].astype(str), 'finite'), (body[12][chosen], 'reset first')]:
        with pytest.raises(InputError, match=expected):
            stream.push(wrong)
    clean = Stream(predictor)
    expected = [clean.push(pose) for pose in body[:13]][-1]
    assert np.array_equal(stream.push(body[12]), expected)


def test_positions_in_the_world(predictor, body):
    turns = np.linspace(0, 2, FRAMES)
    for pose, turn in zip(body, turns, strict=True):
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        world = pose @ rotation.T + [1000, 900, -50 * turn]
        found, back, root = into_body(world, predictor.dataset)
        np.testing.assert_allclose(back.apply(found) + root, world, atol=1e-6)
        if predictor.dataset != '3dpw':  # whose poses keep their rotation
            np.testing.assert_allclose(found, pose, atol=0.05)
