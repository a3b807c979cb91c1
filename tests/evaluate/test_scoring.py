"""The number that selects an epoch, against sums written out."""
import math

import torch
from torch import nn

from model.ksof import Prediction
from utils.data.cmu import DATASET
from utils.data.dataset import Recording
from utils.data.windows import cut_windows
from utils.evaluate.scoring import validate


class Held(nn.Module):
    """Predicts the last pose as the fused prediction, and nothing like it for the paths."""

    def forward(self, observed, coefficients):
        held = observed[:, -1:].expand(-1, 4, -1)
        return Prediction(held, held + 500, held - 500)


def test_validation_is_the_mean_over_actions_then_frames_of_all_joints_of_the_fused_prediction():
    torch.manual_seed(0)
    lengths = {'walking': 9, 'running': 14}
    recordings = [Recording(action, action, 100 * torch.randn(length, 38, 3).numpy())
                  for action, length in lengths.items()]
    windows = cut_windows(DATASET, recordings, 'validation', input_n=4, output_n=4, dct_n=4, skip_rate=1,
                          test_sample_num=-1, device=torch.device('cpu'), missing=[])
    skeleton = DATASET.skeleton
    roles = [row[2] for row in skeleton.rows]
    source = {joint: j for j, joint in enumerate(skeleton.joints)}  # of a copied joint
    of_actions, bones_of_actions = [], []
    for recording in recordings:
        frames, errors, bones = recording.frames, [], []
        for start in range(len(frames) - 7):
            last = frames[start + 3]
            for frame in frames[start + 4 : start + 8]:
                held = [frame[j] if role == 'truth' else last[source.get(role, j)]
                        for j, role in enumerate(roles)]
                errors.append(sum(map(math.dist, held, frame)) / 38)
                bones += [abs(math.dist(held[a], held[b]) - math.dist(frame[a], frame[b]))
                          for a, b in skeleton.bones]
        of_actions.append(sum(errors) / len(errors))
        bones_of_actions.append(sum(bones) / len(bones))
    network = Held().train()
    found = validate(network, windows, skeleton, batch_size=3)
    assert math.isclose(found['validation'], sum(of_actions) / 2, rel_tol=1e-5)
    assert math.isclose(found['bone_error'], sum(bones_of_actions) / 2, rel_tol=1e-5)
    assert not network.training
    assert 0 < found['acceleration'] < found['acceleration_error']
