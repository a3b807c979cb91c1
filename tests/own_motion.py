"""A person's own motion in every kind of file, and a small network for it."""
import numpy as np
from scipy.spatial.transform import Rotation

from utils.data.kinematics import joint_positions
from utils.data.lookup import DATASETS
from utils.data.skeleton import CMU, H36M
from utils.data.synthetic.actions import make_motion
from utils.data.synthetic.body import H36M_BODY, THREEDPW_BODY, pose

SIZES = {'input_n': 10, 'output_n': 6, 'dct_n': 8, 'num_gcn': 1, 'd_model': 2, 'dropout': 0.0,
         'tcn_axis': 'time',
         'topk': 'signed', 'wiring': 'released'}


def save_checkpoint(path, dataset):
    """A small network whose weights are no longer those that predict the last pose."""
    import torch  # here, so that tests of motion alone need not wait for it

    from model.ksof import KSOF

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
    """A benchmark file's motion as BVH, each joint's turns in one order; the root's as the recording means
    them.
    """
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
        columns.append(turns.get(name, Rotation.from_rotvec(maps[:, joint]).inv()).as_euler(order,
                                                                                            degrees=True))
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
    skeleton = rest_skeleton(dataset)
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    waves = 0.3 * np.sin(rng.uniform(1, 8, (len(skeleton.joints), 3)) * time
                         + rng.uniform(0, 6, (len(skeleton.joints), 3)))
    waves[:, 0] = 0
    for name in ('LHipJoint', 'RHipJoint'):
        if name in skeleton.joints:
            waves[:, skeleton.joints.index(name)] = 0
    return joint_positions(waves, skeleton) * (1000 if dataset == '3dpw' else skeleton.mm_scale_to_true)


def rest_skeleton(dataset):
    """The dataset's skeleton; 3DPW's with the rest offsets in metres of the invented motion's body."""
    return THREEDPW_BODY.skeleton if dataset == '3dpw' else DATASETS[dataset].skeleton


# Recordings of invented motion on skeletons that are no model's own.

MIXAMO = {'pelvis': 'Hips', 'spine1': 'Spine', 'spine2': 'Spine1', 'spine3': 'Spine2', 'neck': 'Neck',
          'head': 'Head',
          '*_collar': '*Shoulder', '*_shoulder': '*Arm', '*_elbow': '*ForeArm', '*_wrist': '*Hand',
          '*_hip': '*UpLeg',
          '*_knee': '*Leg', '*_ankle': '*Foot', '*_foot': '*ToeBase', '*_hand': '*HandMiddle1'}
VIDEOPOSE = ('Hips', 'RightUpLeg', 'RightLeg', 'RightFoot', 'LeftUpLeg', 'LeftLeg', 'LeftFoot', 'Spine1',
             'Neck', 'Head',
             'HeadSite', 'LeftArm', 'LeftForeArm', 'LeftHand', 'RightArm', 'RightForeArm', 'RightHand')


def invented(body, seconds, fps, action='walking', seed=5):
    """Exponential maps (F, J, 3), and positions (F, J, 3) in metres in the world, y up."""
    motion = make_motion(action, round(seconds * fps), fps=fps, rng=np.random.default_rng(seed))
    rotations, positions, path = pose(motion, body)
    return rotations, positions + path[:, None], path


def smpl_positions(seconds=3, fps=30, **which):
    """(F, 24, 3) metres of SMPL's joints."""
    return invented(THREEDPW_BODY, seconds, fps, **which)[1]


def videopose_positions(seconds=3, fps=50, **which):
    """(F, 17, 3) metres in VideoPose3D's order of Human3.6M's joints."""
    columns = [H36M.joints.index(name) for name in VIDEOPOSE]
    return invented(H36M_BODY, seconds, fps, **which)[1][:, columns]


def mixamo_name(joint):
    side = 'Left' if joint.startswith('left_') else 'Right'
    return MIXAMO.get(joint) or MIXAMO[joint.replace('left_', '*_').replace('right_', '*_')].replace('*',
                                                                                                     side)


def mixamo_bvh(seconds=3, fps=30, prefix='mixamorig:', order='ZXY', name_of=mixamo_name, **which):
    """A BVH in cm with Mixamo's names, of another rest pose and other proportions than CMU's."""
    skeleton = THREEDPW_BODY.skeleton
    rotations, _, path = invented(THREEDPW_BODY, seconds, fps, **which)
    lines, columns = ['HIERARCHY'], [100 * path]

    def add(joint, depth):
        pad = '\t' * depth
        positions = '' if depth else 'Xposition Yposition Zposition '
        turns = ' '.join(f'{axis}rotation' for axis in order)
        lines.extend([f'{pad}{"JOINT" if depth else "ROOT"} {prefix}{name_of(skeleton.joints[joint])} {{',
                      f'{pad}\tOFFSET ' + ' '.join(f'{100 * value:.6g}' for value in skeleton.offsets[joint]),
                      f'{pad}\tCHANNELS {3 if depth else 6} {positions}{turns}'])
        columns.append(Rotation.from_rotvec(rotations[:, joint]).inv().as_euler(order, degrees=True))
        children = [j for j, parent in enumerate(skeleton.parents) if parent == joint]
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.extend([f'{pad}\tEnd Site', f'{pad}\t{{', f'{pad}\t\tOFFSET 0 5 0', f'{pad}\t}}'])
        lines.append(f'{pad}}}')

    add(0, 0)
    frames = np.concatenate(columns, axis=1)
    lines.extend(['MOTION', f'Frames:{len(frames)}', f'Frame Time:{1 / fps:.6f}'])
    lines.extend(' '.join(f'{value:.6f}' for value in frame) for frame in frames)
    return '\n'.join(lines) + '\n'
