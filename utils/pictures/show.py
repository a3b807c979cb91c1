"""Makes every kind of picture of a scene.

The modules that draw need matplotlib, so they are imported where they are used.
"""
import logging
from pathlib import Path

from utils.common.errors import InputError
from utils.common.figures import import_matplotlib
from utils.common.files import write_text
from utils.common.progress import Progress
from utils.pictures.scene import Scene
from utils.pictures.viewer import page

log = logging.getLogger('ksof')
KINDS = {'strip': 'film strip',
         'motion': 'GIF, and MP4 where ffmpeg is there (requirements-extra.txt brings it)',
         'error': 'error over time', 'joints': 'error of each joint', 'viewer': 'page to turn and scrub'}


def check_kinds(kinds: list[str]) -> None:
    """Raises InputError if one of these kinds needs matplotlib and it cannot be imported."""
    if set(kinds) != {'viewer'}:
        try:
            import_matplotlib()
            import utils.pictures.animation  # noqa: F401
        except ImportError as error:
            raise InputError(f'pictures need matplotlib ({error}): pip install -r requirements-extra.txt; '
                             '--make viewer does without') from None
        except Exception as error:  # a matplotlibrc can raise anything
            raise InputError(f'matplotlib cannot be loaded ({type(error).__name__}: {error}); '
                             '--make viewer does without') from None


def show(scenes: list[Scene], folder: Path, kinds: list[str], *, fps: float) -> list[Path]:
    """Writes the pictures into the folder and returns their paths.

    There is one of each kind for each scene, but a single page for all scenes.

    kinds: keys of KINDS.
    fps: frames a second of the animation.

    Raises InputError if matplotlib is missing or ffmpeg fails.
    """
    check_kinds(kinds)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scene in Progress(scenes, desc='drawing', unit=' windows'):
        written += draw(scene, folder, kinds, fps=fps)
    if 'viewer' in kinds:
        write_text(folder / 'viewer.html', page(scenes))
        written.append(folder / 'viewer.html')
    return written


def draw(scene: Scene, folder: Path, kinds: list[str], *, fps: float) -> list[Path]:
    """Draws the pictures of one scene and returns their paths.

    Pictures of errors are left out where the truth is unknown.
    """
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
