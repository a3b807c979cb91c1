"""One small valid file of every format that is read, and the way it is read."""
import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from asf_sample import write_trial
from own_motion import bvh_text, save_checkpoint, some_positions

from utils.data import cmu, h36m, threedpw
from utils.data.synthetic.files import encode
from utils.evaluate.results import BASELINES, NETWORK, PREDICTED, Results, json_dict
from utils.mocap.motion_files import read_motion
from utils.predict.predictor import load_predictor
from utils.report.comparison import load_run


def four_rows(dataset: str) -> bytes:
    return encode(dataset, 'walking_1.txt', 4, np.random.default_rng(0))


def two_people() -> dict:
    poses = some_positions('3dpw', 3, 30).reshape(3, -1) / 1000
    return {'sequence': 'scene', 'jointPositions': [poses, poses[:2] + 5]}


def write_formats(folder: Path) -> None:
    """A valid file of each name in READ, and the skeleton that the .amc needs."""
    rows = write_trial(folder, frames=3)
    (folder / 'walking_1.txt').write_bytes(four_rows('h36m'))
    (folder / 'walking_2.txt.gz').write_bytes(gzip.compress(four_rows('h36m')))
    (folder / 'running_1.txt').write_bytes(four_rows('cmu'))
    (folder / 'own.txt').write_bytes(four_rows('cmu'))
    (folder / 'scene.pkl').write_bytes(pickle.dumps(two_people(), protocol=2))
    (folder / 'scene_5.pkl').write_bytes(pickle.dumps(two_people(), protocol=5))
    (folder / 'own.bvh').write_text(bvh_text(rows[1:]))
    np.save(folder / 'own.npy', some_positions('cmu', 3, 120))
    save_checkpoint(folder / 'ckpt.pth.tar', 'cmu')
    table = {action: [float(k) for k in range(10)] for action in (*cmu.ACTIONS, 'avg')}
    results = Results(cmu.DATASET, dict.fromkeys(cmu.ACTIONS, 9), protocol='all', input_n=10, output_n=10,
                      epoch=3, selected_on='validation',
                      methods=dict.fromkeys([NETWORK, PREDICTED, *BASELINES], table))
    (folder / 'own.json').write_text(json.dumps(json_dict(results)))


def read_trial_of(asf: Path):
    """The trial beside a skeleton, put on it."""
    return read_motion(asf.with_name('98_01.amc'), 'cmu', asf=asf)


# Each takes the path of a file and returns what is in it, or raises InputError.
READ: dict[str, Callable[[Path], object]] = {
    'walking_1.txt': h36m.read, 'walking_2.txt.gz': h36m.read, 'running_1.txt': cmu.read,
    'scene.pkl': threedpw.read, 'scene_5.pkl': threedpw.read,
    'own.txt': lambda path: read_motion(path, 'cmu'), '98.asf': read_trial_of,
    '98_01.amc': lambda path: read_motion(path, 'cmu'),
    'own.bvh': lambda path: read_motion(path, 'cmu', units='asf'),
    'own.npy': lambda path: read_motion(path, 'cmu', fps=120, units='mm'), 'ckpt.pth.tar': load_predictor,
    'own.json': lambda path: load_run(path).results}
