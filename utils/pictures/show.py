"""Everything that can be made of a scene, by kind. What draws is imported when it is needed: it needs matplotlib."""
import logging
from pathlib import Path

from tqdm import tqdm

from utils.common.errors import InputError
from utils.common.files import write_text
from utils.pictures.scene import Scene
from utils.pictures.viewer import page

log = logging.getLogger('ksof')
KINDS = {'strip': 'film strip', 'motion': 'GIF, and MP4 where ffmpeg is on PATH', 'error': 'error over time',
         'joints': 'error of each joint', 'viewer': 'page to turn and scrub'}


def check_kinds(kinds: list[str]) -> None:
    """InputError where matplotlib is needed for these and not installed."""
    if set(kinds) != {'viewer'}:
        try:
            import utils.pictures.animation  # noqa: F401
        except ImportError as error:
            raise InputError(f'pictures need matplotlib ({error}): pip install -r requirements-extra.txt; --make viewer does '
                             'without') from None


def show(scenes: list[Scene], folder: Path, kinds: list[str], *, fps: float) -> list[Path]:
    """Write the pictures of these kinds into the folder: one of each a scene, and one page for all. Returns their paths.

    fps: frames a second of the animation. InputError where matplotlib is missing or ffmpeg fails.
    """
    check_kinds(kinds)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scene in tqdm(scenes, desc='drawing', unit=' windows', leave=False, disable=None):
        written += draw(scene, folder, kinds, fps=fps)
    if 'viewer' in kinds:
        write_text(folder / 'viewer.html', page(scenes))
        written.append(folder / 'viewer.html')
    return written


def draw(scene: Scene, folder: Path, kinds: list[str], *, fps: float) -> list[Path]:
    """The pictures of one scene; those of errors only where its truth is known."""
    written = []

    def path(ending: str) -> Path:
        written.append(folder / f'{scene.name}_{ending}')
        return written[-1]

    if set(kinds) - {'viewer'}:
        from utils.pictures import animation
        from utils.pictures import stills as pictures

        if 'strip' in kinds:
            pictures.strip(scene, path('strip.png'))
        if 'error' in kinds and scene.truth is not None:
            pictures.error_over_time(scene, path('error.png'))
        if 'joints' in kinds and scene.truth is not None:
            pictures.joint_errors(scene, path('joints.png'))
        if 'motion' in kinds:
            frames = list(animation.draw_frames(scene, fps=fps))
            animation.write_gif(frames, path('motion.gif'), fps=fps)
            if animation.ffmpeg():
                animation.write_mp4(frames, path('motion.mp4'), fps=fps)
    return written
