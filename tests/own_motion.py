"""A person's own motion in every kind of file, and a small network for it."""
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from model.ksof import KSOF
from utils.data.kinematics import joint_positions
from utils.data.lookup import DATASETS
from utils.data.skeleton import CMU

SIZES = {'input_n': 10, 'output_n': 6, 'dct_n': 8, 'num_gcn': 1, 'd_model': 2, 'dropout': 0.0, 'tcn_axis': 'time',
         'topk': 'signed', 'wiring': 'released'}


def save_checkpoint(path, dataset):
    """A small network whose weights are no longer those that predict the last pose."""
    torch.manual_seed(0)
    options = {'dataset': dataset, 'node_n': DATASETS[dataset].skeleton.node_n, **SIZES}
    model = KSOF(**{name: value for name, value in options.items() if name != 'dataset'})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for _ in range(3):
            model(300 * torch.randn(8, SIZES['input_n'], options['node_n']))
    torch.save({'model': model.state_dict(), 'options': options, 'epoch': 1}, path)
    return path


def bvh_text(rows, order='ZYX'):
    """A benchmark file's motion as BVH, each joint's turns in one order; the root's as the recording means them."""
    maps = rows[:, 3:].reshape(len(rows), -1, 3)
    z, x, y = Rotation.from_rotvec(maps[:, 0]).inv().as_euler('ZXY').T
    turns = {'Hips': Rotation.from_euler('ZYX', np.stack([z, y, x], -1))}
    lines, columns = ['HIERARCHY'], [rows[:, :3]]

    def add(name, depth):
        joint = CMU.joints.index(name)
        pad = '\t' * depth
        offset = 'OFFSET ' + ' '.join(f'{v / 70:.9g}' for v in CMU.offsets[joint])
        if name.endswith('Site'):
            lines.extend([f'{pad}End Site', pad + '{', f'{pad}\t{offset}', pad + '}'])
            return
        channels = [f'{axis}rotation' for axis in order]
        positions = ['Xposition', 'Yposition', 'Zposition'] if name == 'Hips' else []
        lines.extend([f'{pad}{"JOINT" if depth else "ROOT"} {name}', pad + '{', f'{pad}\t{offset}',
                      f'{pad}\tCHANNELS {len(positions + channels)} {" ".join(positions + channels)}'])
        columns.append(turns.get(name, Rotation.from_rotvec(maps[:, joint]).inv()).as_euler(order, degrees=True))
        for child, parent, *_ in CMU.rows:
            if parent == name:
                add(child, depth + 1)
        lines.append(pad + '}')

    add('Hips', 0)
    lines.extend(['MOTION', f'Frames: {len(rows)}', 'Frame Time: 0.0083333'])
    lines.extend(' '.join(f'{value:.9f}' for value in frame) for frame in np.concatenate(columns, axis=1))
    return '\n'.join(lines) + '\n'


def world_positions(rows):
    """True mm in the world of a benchmark file's rows, with the recording's own root turns."""
    maps = rows[:, 3:].reshape(len(rows), -1, 3).copy()
    z, x, y = Rotation.from_rotvec(maps[:, 0]).inv().as_euler('ZXY').T
    maps[:, 0] = Rotation.from_euler('ZYX', np.stack([z, y, x], -1)).inv().as_rotvec()
    return joint_positions(maps, CMU) * CMU.mm_scale_to_true + rows[:, None, :3] * (25.4 / 0.45)


def some_positions(dataset, frames, fps, seed=3):
    """Smooth positions in true mm, root-centred in the body's frame where the dataset has a rest pose."""
    skeleton = DATASETS[dataset].skeleton
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    waves = 0.3 * np.sin(rng.uniform(1, 8, (len(skeleton.joints), 3)) * time + rng.uniform(0, 6, (len(skeleton.joints), 3)))
    if dataset == '3dpw':
        return 1000 * (rng.uniform(-0.6, 0.6, (len(skeleton.joints), 3)) + waves / 5) * (np.arange(24) > 0)[:, None]
    waves[:, 0] = 0
    for name in ('LHipJoint', 'RHipJoint'):
        if name in skeleton.joints:
            waves[:, skeleton.joints.index(name)] = 0
    return joint_positions(waves, skeleton) * skeleton.mm_scale_to_true
