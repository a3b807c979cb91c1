"""Draws a window in motion, as GIF and as MP4.

Needs matplotlib and Pillow, which comes with it. MP4 needs ffmpeg too.
"""
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from utils.common.errors import InputError
from utils.common.figures import plain_drawing
from utils.common.files import whole_file
from utils.pictures.scene import CENTRE, LEFT, RIGHT, Scene
from utils.pictures.stills import DARK, GREY, PALE, draw_pose, frame_of, keep_apart, pose_axes, title_size

WIDTH, DPI = 9.0, 100  # 900 pixels, even as MP4 wants it
PAUSE = 1.2  # seconds for which a GIF holds its last frame
COLOURS = 64  # in the GIF: those of the lines, and of their blurred edges


def draw_frames(scene: Scene, *, fps: float) -> Iterator[np.ndarray]:
    """Draws one (H, W, 3) picture for each observed and then each predicted frame; H and W are even.

    The panels show what was observed, the prediction, and the truth where it is known.
    Before the prediction starts, the last two show the observed pose in pale colours.
    After that the first panel holds the last observed pose in pale colours.

    fps: pictures a second at which they will be shown.
    """
    for k in range(len(scene.observed) + len(scene.predicted)):
        yield draw_frame(scene, k, fps=fps)


@plain_drawing()
def draw_frame(scene: Scene, k: int, *, fps: float) -> np.ndarray:
    """Draws the k-th picture of `draw_frames`, (H, W, 3)."""
    names = ['observed', 'predicted'] + ([] if scene.truth is None else ['truth'])
    corners = frame_of(scene, scene.observed)
    wide, high = corners[1] - corners[0]
    across = 0.98 * WIDTH / len(names)  # inches of a panel
    height = 2 * round((1.35 + min(4.4, across * high / wide)) * DPI / 2) / DPI
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    future = k - len(scene.observed)
    for column, name in enumerate(names):
        left = 0.01 + column * across / WIDTH
        axes = pose_axes(figure, (left, 0.65 / height, across / WIDTH, 1 - 1.3 / height), corners)
        pose, dark = panel_pose(scene, name, k)
        draw_pose(axes, pose, scene, DARK if dark else PALE, 2.6)
        text = name
        if name == 'predicted' and future >= 0 and scene.mpjpe is not None:
            text = f'predicted, off by {scene.mpjpe[future]:.1f} mm'
        figure.text(left + across / WIDTH / 2, 0.49 / height, text, fontsize=11, ha='center', va='center',
                    color='black' if dark else GREY, fontweight='bold' if dark else 'normal')
    times = scene.observed_ms + scene.true_ms
    heading(figure, scene, times[k], slowed=1000 / fps / scene.skeleton.true_ms_per_frame)
    timeline(figure, scene, times, k)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def panel_pose(scene: Scene, panel: str, k: int) -> tuple[np.ndarray, bool]:
    """Returns the (J, 3) pose that a panel shows at the k-th frame, and whether the panel is in dark colours.

    It is where the frame belongs to what the panel shows.
    """
    observed = len(scene.observed)
    if k < observed or panel == 'observed':
        return scene.observed[min(k, observed - 1)], panel == 'observed' and k < observed
    future = scene.predicted if panel == 'predicted' or scene.truth is None else scene.truth
    return future[k - observed], True


def heading(figure: Figure, scene: Scene, time: float, *, slowed: float) -> None:
    """Writes the title, the moment shown, and what the colours mean.

    time: ms after the last observed frame.
    slowed: how many times slower than reality the pictures are shown.
    """
    high = figure.get_figheight()
    first, second = 1 - 0.17 / high, 1 - 0.42 / high
    figure.text(0.012, first, scene.title, fontsize=title_size(scene.title, 90), va='center')
    figure.text(0.012, second, 'left', fontsize=11, va='center', color=DARK[LEFT], fontweight='bold')
    figure.text(0.055, second, 'right', fontsize=11, va='center', color=DARK[RIGHT], fontweight='bold')
    figure.text(0.988, first, f'{time:+.0f} ms' if round(time) else '0 ms', fontsize=13, ha='right',
                va='center', fontweight='bold')
    if round(slowed, 1) != 1:
        speed = f'{slowed:.3g} times slower' if slowed > 1 else f'{1 / slowed:.3g} times faster'
        figure.text(0.988, second, speed, fontsize=11, ha='right', va='center', color=GREY)


def timeline(figure: Figure, scene: Scene, times: list[float], k: int) -> None:
    """Draws a line along the bottom: the observed part, the predicted part, and the moment shown.

    times: true times of all frames in ms.
    k: index of the frame shown.
    """
    high = figure.get_figheight()
    axes = figure.add_axes((0.04, 0.26 / high, 0.92, 0.1 / high))
    axes.plot([times[0], 0], [0, 0], color=PALE[CENTRE], linewidth=5, solid_capstyle='butt')
    axes.plot([0, times[-1]], [0, 0], color=GREY, linewidth=5, solid_capstyle='butt')
    axes.plot(times[k], 0, 'o', color='black', markersize=9, clip_on=False)
    axes.set(xlim=(times[0], times[-1]), ylim=(-1, 1), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)
    # The two ends and the start of the prediction matter most; other labels are written where there is room.
    ends = [times[0], 0.0, times[-1]]
    ticks = ends + [scene.true_ms[frame] for frame in scene.table_frames if scene.true_ms[frame] not in ends]
    keep_apart([[axes.text(tick, -2, f'{tick:.0f} ms' if tick in ends else f'{tick:.0f}', fontsize=9,
                           ha='center', va='top')] for tick in ticks], gap=6)


def write_gif(frames: list[np.ndarray], path: Path, *, fps: float) -> None:
    """Writes the frames as a GIF that repeats, with a pause at the end.

    frames: (H, W, 3) each.
    fps: frames a second.
    """
    # All frames share one palette, made from two that have every colour: else unchanged parts would flicker.
    palette = Image.fromarray(np.concatenate([frames[0], frames[-1]])).quantize(COLOURS)
    entries = np.array(palette.getpalette()).reshape(-1, 3)
    entries[entries.min(1) > 240] = 255  # the background stays white
    palette.putpalette(entries.reshape(-1).tolist())
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [round(1000 / fps)] * (len(images) - 1) + [round(1000 * PAUSE)]
    with whole_file(path) as temporary:
        images[0].save(temporary, format='GIF', save_all=True, append_images=images[1:], duration=durations,
                       loop=0, optimize=False)


def ffmpeg() -> str | None:
    """Finds the program that writes MP4: the one on PATH, or else that of the package imageio-ffmpeg.

    Returns None where there is neither.
    """
    if found := shutil.which('ffmpeg'):
        return found
    try:
        import imageio_ffmpeg
        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # RuntimeError: it has none for this machine
        return None


def write_mp4(frames: list[np.ndarray], path: Path, *, fps: float) -> None:
    """Writes the frames as H.264 with ffmpeg.

    frames: (H, W, 3) each, of even sides.
    fps: frames a second.

    Raises InputError if ffmpeg fails or is not installed.
    """
    program = ffmpeg()
    if program is None:
        raise InputError(f'{path}: needs ffmpeg: pip install -r requirements-extra.txt')
    height, width = frames[0].shape[:2]
    with whole_file(path) as temporary:
        command = [program, '-y', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'rgb24',
                   '-s', f'{width}x{height}', '-r', f'{fps:g}', '-i', '-', '-an', '-pix_fmt', 'yuv420p',
                   '-movflags', '+faststart', '-f', 'mp4', str(temporary)]
        done = subprocess.run(command, input=b''.join(frame.tobytes() for frame in frames),
                              capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors='replace').strip().split('\n')[-1]
            raise InputError(f'{path}: ffmpeg could not write it: {reason}')
