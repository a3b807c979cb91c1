"""A window in motion: GIF, and MP4 by way of ffmpeg. Needs matplotlib and Pillow, which comes with it."""
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from utils.common.errors import InputError
from utils.common.files import whole_file
from utils.pictures.scene import CENTRE, LEFT, RIGHT, Scene
from utils.pictures.stills import DARK, GREY, PALE, draw_pose, frame_of, pose_axes, title_size

WIDTH, DPI = 9.0, 100  # 900 pixels, even as MP4 wants it
PAUSE = 1.2  # seconds for which a GIF holds its last frame
COLOURS = 64  # of the GIF: a few inks and their edges


def draw_frames(scene: Scene, *, fps: float) -> Iterator[np.ndarray]:
    """One (H, W, 3) picture for each observed and then each predicted frame, H and W even, to be shown `fps` a second.

    Panels: what was observed, the prediction, and the truth where it is known. Before the prediction starts the last
    two show the observed pose in pale colours, after it the first holds its last pose in them.
    """
    corners = frame_of(scene)
    names = ['observed', 'predicted'] + ([] if scene.truth is None else ['truth'])
    wide, high = corners[1] - corners[0]
    tall = min(4.4, WIDTH / len(names) * high / wide)
    figure = Figure(figsize=(WIDTH, 2 * round((1.35 + tall) * DPI / 2) / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    times = scene.observed_ms + scene.true_ms
    for k in range(len(times)):
        figure.clear()
        bottom, top = 0.62 / figure.get_figheight(), 1 - 0.62 / figure.get_figheight()
        grid = figure.add_gridspec(1, len(names), left=0.01, right=0.99, wspace=0.02, bottom=bottom, top=top)
        future = k - len(scene.observed)
        for column, name in enumerate(names):
            axes = pose_axes(figure, grid[column], corners)
            pose, dark = panel_pose(scene, name, k)
            draw_pose(axes, pose, scene, DARK if dark else PALE, 2.6)
            text = name
            if name == 'predicted' and future >= 0 and scene.mpjpe is not None:
                text = f'predicted, off by {scene.mpjpe[future]:.1f} mm'
            figure.text((column + 0.5) / len(names), bottom - 0.13 / figure.get_figheight(), text, fontsize=11, ha='center',
                        va='center', color='black' if dark else GREY, fontweight='bold' if dark else 'normal')
        heading(figure, scene, times[k], slowed=1000 / fps / scene.skeleton.true_ms_per_frame)
        timeline(figure, scene, times, k)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def panel_pose(scene: Scene, panel: str, k: int) -> tuple[np.ndarray, bool]:
    """The pose that a panel shows at the k-th frame, and whether the frame is this panel's own."""
    observed = len(scene.observed)
    if k < observed or panel == 'observed':
        return scene.observed[min(k, observed - 1)], panel == 'observed' and k < observed
    future = scene.predicted if panel == 'predicted' or scene.truth is None else scene.truth
    return future[k - observed], True


def heading(figure: Figure, scene: Scene, time: float, *, slowed: float) -> None:
    """What is shown, when, and what the colours mean."""
    high = figure.get_figheight()
    figure.text(0.012, 1 - 0.17 / high, scene.title, fontsize=title_size(scene.title, 90), va='center')
    figure.text(0.012, 1 - 0.42 / high, 'left', fontsize=11, va='center', color=DARK[LEFT], fontweight='bold')
    figure.text(0.055, 1 - 0.42 / high, 'right', fontsize=11, va='center', color=DARK[RIGHT], fontweight='bold')
    figure.text(0.988, 1 - 0.17 / high, f'{time:+.0f} ms' if round(time) else '0 ms', fontsize=13, ha='right', va='center',
                fontweight='bold')
    if round(slowed, 1) != 1:
        figure.text(0.988, 1 - 0.42 / high, f'{slowed:.3g} times slower' if slowed > 1 else f'{1 / slowed:.3g} times faster',
                    fontsize=11, ha='right', va='center', color=GREY)


def timeline(figure: Figure, scene: Scene, times: list[float], k: int) -> None:
    """A line along the bottom: the observed part, the predicted part in true ms, and the moment shown."""
    high = figure.get_figheight()
    axes = figure.add_axes((0.04, 0.26 / high, 0.92, 0.1 / high))
    axes.plot([times[0], 0], [0, 0], color=PALE[CENTRE], linewidth=5, solid_capstyle='butt')
    axes.plot([0, times[-1]], [0, 0], color=GREY, linewidth=5, solid_capstyle='butt')
    axes.plot(times[k], 0, 'o', color='black', markersize=9, clip_on=False)
    axes.set(xlim=(times[0], times[-1]), ylim=(-1, 1), yticks=[])
    ticks = [times[0], 0, *(scene.true_ms[frame] for frame in scene.table_frames)]
    axes.set_xticks(ticks, [f'{tick:.0f} ms' for tick in ticks], fontsize=9)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def write_gif(frames: list[np.ndarray], path: Path, *, fps: float) -> None:
    """Write the frames as a GIF that repeats, at `fps` frames a second, with a rest at the end."""
    # One palette for all, from a frame that has every colour: of a palette for each, the unchanged parts would flicker.
    palette = Image.fromarray(np.concatenate([frames[0], frames[-1]])).quantize(COLOURS)
    entries = np.array(palette.getpalette()).reshape(-1, 3)
    entries[entries.min(1) > 240] = 255  # the paper stays white
    palette.putpalette(entries.reshape(-1).tolist())
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [round(1000 / fps)] * (len(images) - 1) + [round(1000 * PAUSE)]
    with whole_file(path) as temporary:
        images[0].save(temporary, format='GIF', save_all=True, append_images=images[1:], duration=durations, loop=0,
                       optimize=False)


def ffmpeg() -> str | None:
    """The program that writes MP4, where it is installed."""
    return shutil.which('ffmpeg')


def write_mp4(frames: list[np.ndarray], path: Path, *, fps: float) -> None:
    """Write the frames as H.264 with ffmpeg. InputError where it fails or is not installed."""
    program = ffmpeg()
    if program is None:
        raise InputError(f'{path}: needs ffmpeg, which is not on PATH')
    height, width = frames[0].shape[:2]
    with whole_file(path) as temporary:
        command = [program, '-y', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', f'{width}x{height}',
                   '-r', f'{fps:g}', '-i', '-', '-an', '-pix_fmt', 'yuv420p', '-movflags', '+faststart', '-f', 'mp4',
                   str(temporary)]
        done = subprocess.run(command, input=b''.join(frame.tobytes() for frame in frames), capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors='replace').strip().split('\n')[-1]
            raise InputError(f'{path}: ffmpeg could not write it: {reason}')
