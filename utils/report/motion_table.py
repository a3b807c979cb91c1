"""How a run's predictions move, as rows of a table and the sentences around it."""
from utils.data.skeleton import Skeleton
from utils.evaluate.motion import ACCELERATION, ERRORS, Motion
from utils.report.tables import Row


def motion_rows(motion: Motion, frames: list[int]) -> list[Row]:
    """Each error of each method at these frames, mean of the actions. No row is the best: a still pose has perfect bones."""
    return [Row(f'{measure}: {method}', [table['avg'][f] for f in frames], rival=False)
            for measure in ERRORS for method, table in motion.get(measure, {}).items()]


def motion_sentences(motion: Motion, skeleton: Skeleton) -> tuple[str, str]:
    """What stands above the rows, and below them how much the predictions and the truth accelerate at all."""
    means = ', '.join(f'{method} {sum(table["avg"]) / len(table["avg"]):.2f} ({table["avg"][0]:.2f})'
                      for method, table in motion.get(ACCELERATION, {}).items())
    return (f'Smoothness and bones, averaged in the same way: acceleration error of the {len(skeleton.predicted)} predicted '
            f'joints in mm per frame squared (frames are {skeleton.true_ms_per_frame:.1f} ms apart), length error of '
            f'{len(skeleton.bones)} bones in mm:',
            'Mean acceleration in mm per frame squared, over all predicted frames and in brackets at the first, where they join '
            f'the observed ones: {means}.')
