"""Makes tables beside that of MPJPE at the frame: other measures, and errors over windows."""
from collections.abc import Sequence

from utils.evaluate.distribution import PERCENTILES, percentiles, worst_by_recording
from utils.evaluate.metrics import up_to_frame
from utils.evaluate.results import BASELINES, NETWORK
from utils.evaluate.window_errors import WindowErrors
from utils.report.comparison import Run, at_frames, combined, shared_frame, shown_name
from utils.report.page import label_table, table_frames
from utils.report.tables import Block, Row, Table, number

SHOWN = 5  # recordings of a run among the worst


def measure_blocks(runs: Sequence[Run]) -> list[Block]:
    """Makes the tables of MPJPE averaged up to the label, final displacement and PCK (docs/protocol.md)."""
    whole = combined(runs)
    frames = table_frames(whole)
    methods = [(shown_name(run, runs), run.results, NETWORK) for run in runs]
    methods += [(f'{name} (windows of {runs[0].name})', runs[0].results, name) for name in BASELINES]
    up_to = [Row(name, at_frames(up_to_frame(results.methods[method]['avg']), frames), rival=False)
             for name, results, method in methods]
    page: list[Block] = ['MPJPE averaged up to the label, in mm (the other convention; it does not compare '
                         'with the tables above, which are at the frame):', label_table(whole, frames, up_to)]
    final = [['', 'at label ms', 'mm'],
             *([name, str(results.label_ms[-1]), number(results.methods[method]['avg'][-1])]
               for name, results, method in methods)]
    page += ['Final displacement, the MPJPE at the last predicted frame:', Table(final)]
    pck = [Row(f'{name}, {distance} mm', at_frames(results.pck[distance][method]['avg'], frames), rival=False)
           for name, results, method in methods for distance in results.pck]
    if pck:
        page += ['PCK, predicted joints within 50 and 100 mm of their place, in %:',
                 label_table(whole, frames, pck)]
    return page


def distribution_blocks(runs: Sequence[Run], errors: Sequence[WindowErrors],
                        actions: Sequence[str]) -> list[Block]:
    """Makes the tables of each run's percentiles, and of the recordings with the worst windows."""
    whole, frame = combined(runs), shared_frame(runs)
    frames = table_frames(whole)
    rows = [Row(f'{shown_name(run, runs)}, {"median" if q == 50 else f"{q}th percentile"}',
                at_frames(values.tolist(), frames), rival=False)
            for run, of_run in zip(runs, errors, strict=True)
            for q, values in zip(PERCENTILES, percentiles(of_run, actions), strict=True)]
    page: list[Block] = ['Errors over the windows, each window counting the same, MPJPE in mm at the frame:',
                         label_table(whole, frames, rows)]
    cells = [['run', 'recording', 'action', 'windows', 'median', 'worst', 'its first observed frame']]
    for run, of_run in zip(runs, errors, strict=True):
        cells += [[run.name, one.file, one.action, str(one.windows), number(one.median), number(one.error),
                   str(one.start)] for one in worst_by_recording(of_run, actions, frame)[:SHOWN]]
    return [*page, f'The recordings of each run with the worst windows ({SHOWN} at most), MPJPE in mm at '
            f'{whole.label_ms[frame]} ms (frames are those used, not those recorded):', Table(cells, names=3)]
