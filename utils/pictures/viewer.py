"""Makes the page on which a browser turns the skeletons and moves through time.

It is one file that loads nothing from the network; viewer.html is its template.
"""
import json
from pathlib import Path
from typing import Any

import numpy as np

from utils.pictures.scene import AZIMUTH, ELEVATION, Scene, bones

FORM = Path(__file__).with_name('viewer.html')


def page(scenes: list[Scene]) -> str:
    """Makes the page for these scenes."""
    content = {'azimuth': AZIMUTH, 'elevation': ELEVATION,
               'scenes': [scene_content(scene) for scene in scenes]}
    # "<" is escaped, because a script element ends at "</" wherever it stands.
    text = json.dumps(content, separators=(',', ':')).replace('<', '\\u003c')
    return FORM.read_text().replace('/*CONTENT*/', text)


def scene_content(scene: Scene) -> dict[str, Any]:
    """Collects one scene for the page: its poses in mm as exact float32, and the numbers beside them."""
    skeleton, still = scene.skeleton, scene.mpjpe_zero_velocity
    scored = {*skeleton.predicted, *skeleton.copied}
    return {
        'run': scene.run, 'model': scene.model, 'window': scene.window, 'joints': skeleton.joints,
        'scored': [joint in scored for joint in range(len(skeleton.joints))],
        'title': scene.title, 'bones': bones(scene.skeleton), 'axes': scene.axes.round(6).tolist(),
        'times': scene.observed_ms + scene.true_ms, 'labels': scene.label_ms,
        'observed': exactly(scene.observed), 'predicted': exactly(scene.predicted),
        'truth': None if scene.truth is None else exactly(scene.truth),
        'errors': None if scene.mpjpe is None else scene.mpjpe.round(3).tolist(),
        'still': None if still is None else still.round(3).tolist(),
    }


def exactly(poses: np.ndarray) -> list:
    """Turns poses into nested lists of the shortest numbers that read back as the same float32."""
    return poses.astype(np.float32).astype(str).astype(float).tolist()
