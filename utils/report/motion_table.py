"""Reports how a run's predictions move: rows of a table and the sentences around it."""
from utils.data.skeleton import Skeleton
from utils.evaluate.motion import ACCELERATION, ERRORS, Motion
from utils.report.tables import Row


def motion_rows(motion: Motion, frames: list[int]) -> list[Row]:
    """Makes a row of each error of each method at these frames, as the mean of the actions.

    No row counts as the best, because a pose that stands still has perfect bones.
    """
    return [Row(f'{measure}: {method}', [table['avg'][f] for f in frames], rival=False)
            for measure in ERRORS for method, table in motion.get(measure, {}).items()]


def motion_sentences(motion: Motion, skeleton: Skeleton) -> tuple[str, str]:
    """Writes what stands above the rows and what stands below them.

    The first says what the rows are. The second says how much predictions and truth accelerate at all.
    """
    means = ', '.join(f'{method} {sum(table["avg"]) / len(table["avg"]):.2f} ({table["avg"][0]:.2f})'
                      for method, table in motion.get(ACCELERATION, {}).items())
    return (f'Smoothness and bones, averaged in the same way: acceleration error of the '
            f'{len(skeleton.predicted)} predicted joints in mm per frame squared (frames are '
            f'{skeleton.true_ms_per_frame:.1f} ms apart), length error of {len(skeleton.bones)} bones in mm:',
            'Mean acceleration in mm per frame squared, over all predicted frames and in brackets at the '
            f'first, where they join the observed ones: {means}.')
