"""Writes what one evaluation found: results.json, results.md, test_*_eval.csv and the terminal's text.

test_*_eval.csv is laid out as the original KSOF code writes it.
"""
import csv
import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from utils.common.errors import InputError
from utils.common.files import remove_leftovers, whole_file, write_text
from utils.data.dataset import label_frames
from utils.evaluate import window_errors
from utils.evaluate.results import PREDICTED, PROTOCOLS, Results, json_text, read_results
from utils.evaluate.window_errors import WindowErrors
from utils.report import tables
from utils.report.motion_table import motion_rows, motion_sentences
from utils.report.published import EPOCHS, PublishedRow, published_rows
from utils.report.tables import Block, Heading, Notes, Row, Table, value_table

CSV_FILES = {protocol: f'test_{protocol}_eval.csv' for protocol in PROTOCOLS}


def table_frames(results: Results) -> list[int]:
    """Returns the indices of the predicted frames that the tables show.

    They are the frames at the field's labels, as far as the prediction reaches.
    """
    return label_frames(results.dataset, results.output_n)


def write_all(results: Results, folder: Path, of_windows: WindowErrors | None = None) -> str:
    """Writes results.json and, from it, test_*_eval.csv and results.md; returns the page for the terminal.

    of_windows: the errors of every window, written to errors.npz, which results.json names.
    The files that go with results.json are removed before it is replaced, those of another checkpoint too.
    So the files in the folder agree with each other at every moment, even if this is killed.

    Raises InputError if an error is not finite; then the files stay as they were.
    """
    remove_leftovers(folder)
    content_of_windows = window_errors.to_bytes(of_windows) if of_windows else b''
    if of_windows:
        digest = hashlib.sha256(content_of_windows).hexdigest()
        results = replace(results, errors={'file': window_errors.FILE, 'sha256': digest})
    try:
        content = json_text(results)
    except ValueError:
        raise InputError(f'{folder}: an error is not finite: the network does not predict numbers; '
                         'nothing is written') from None
    table, page = folder / CSV_FILES[results.protocol], folder / 'results.md'
    is_other = scored_before(folder) != results.checkpoint.get('sha256')
    stale = CSV_FILES.values() if is_other else [table.name]
    for file in (page, folder / window_errors.FILE, *(folder / name for name in stale)):
        file.unlink(missing_ok=True)
    write_text(folder / 'results.json', content)
    written = read_results(folder / 'results.json')
    if of_windows:
        with whole_file(folder / window_errors.FILE) as temporary:
            temporary.write_bytes(content_of_windows)
    write_text(table, csv_text(written))
    write_text(page, markdown(written))
    return tables.terminal(blocks(written))


def scored_before(folder: Path) -> str | None:
    """Returns the SHA-256 of the checkpoint that a folder's results are of; None where it is not known."""
    with suppress(InputError):
        return read_results(folder / 'results.json').checkpoint.get('sha256')
    return None


def csv_text(results: Results) -> str:
    """Formats errors in mm as the original KSOF code does: a row for each action, then one for the average.

    Each predicted frame has a column, named by the field's label in ms.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['action', *(f'test_#{label}ms' for label in results.label_ms)])
    for action, errors in next(iter(results.methods.values())).items():
        writer.writerow([action, *(f'{error:.4f}' for error in errors)])
    return file.getvalue()


def markdown(results: Results) -> str:
    """Returns the text of results.md."""
    return tables.markdown(blocks(results))


def blocks(results: Results) -> list[Block]:
    """Makes the page of a run.

    It shows the run among its baselines and the published rows, its actions, its motion, and notes.
    """
    frames = table_frames(results)
    published, notes = published_section(results, frames)
    rows = [*summary_rows(results, frames), *published]
    page: list[Block] = [*heading(results), label_table(results, frames, rows)]
    if results.has_actions:
        by_action = next(iter(results.methods.values()))
        rows = [Row(action, [errors[f] for f in frames], rival=False) for action, errors in by_action.items()]
        page += [f'{results.network} by action:', label_table(results, frames, rows)]
    if results.motion:
        motion = {measure: results.named(tables) for measure, tables in results.motion.items()}
        before, after = motion_sentences(motion, results.dataset.skeleton)
        page += [before, label_table(results, frames, motion_rows(motion, frames)), after]
    return [*page, Notes([*caveats(results), *notes])]


def measured_on(results: Results) -> str:
    """Names the dataset; this is the one place where motion is called synthetic."""
    title = results.dataset.title
    return f'synthetic motion in the layout of {title}' if results.sample else title


def tested_on(results: Results) -> str:
    """Says in words which test windows there are, and how many."""
    drawn = '' if results.protocol == 'all' else f' for each {results.dataset.drawn_for}, so'
    return f'{results.protocol}{drawn} {sum(results.windows.values())} test windows'


def heading(results: Results) -> list[Block]:
    """Says what was measured, and over what."""
    over = 'mean of the windows'
    if results.has_actions:
        missing = f' (missing: {", ".join(results.missing_actions)})' if results.missing_actions else ''
        over = f'mean of {len(results.windows)} of {len(results.dataset.actions)} actions{missing}'
    of = f'epoch {results.epoch}, selected on {results.selected_on}' if results.epoch else (
        f'predictions in {results.checkpoint.get("path")}')
    size = f'; {results.parameters / 1e6:.2f} M parameters' if results.parameters else ''
    return [Heading(f'{results.network} on {measured_on(results)}: {results.input_n} observed, '
                    f'{results.output_n} predicted frames'),
            f'MPJPE in mm at the frame, {over}; {tested_on(results)}; {of}{size}.']


def summary_rows(results: Results, frames: list[int]) -> list[Row]:
    """Makes the rows of averages at the shown frames, one for each method.

    The network has further rows: over the papers' other subset of actions, and in true mm where those differ.

    frames: indices of the predicted frames.
    """
    shown = results.named(results.methods)
    rows = [Row(name, [table['avg'][f] for f in frames], rival=method != PREDICTED)
            for method, (name, table) in zip(results.methods, shown.items(), strict=True)]
    network, more = rows[0], []
    subset = results.dataset.other_average
    if subset and not results.missing_actions:
        table = next(iter(results.methods.values()))
        means = [sum(table[action][f] for action in subset) / len(subset) for f in frames]
        left_out = ', '.join(action for action in results.dataset.actions if action not in subset)
        more.append(Row(f'{network.name}, {len(subset)} actions (without {left_out})', means, rival=False))
    scale = results.dataset.skeleton.mm_scale_to_true
    if scale != 1:
        true_mm = [error * scale for error in network.values if error is not None]
        more.append(Row(f'{network.name}, true mm (x {scale:.3f})', true_mm, rival=False))
    return [network, *more, *rows[1:]]


def published_beside(results: Results, labels: list[int],
                     only: Sequence[str] = ()) -> tuple[list[PublishedRow], list[str]]:
    """Returns the published rows that compare with the results at any of these labels.

    Rows of the same protocol come first.
    The second list names the methods published only as an average that does not compare.
    Both are empty beside synthetic motion, which compares with nothing published.

    labels: the field's labels in ms.
    only: parts of the names of the rows to show; all if empty.
    """
    if results.sample:
        return [], []
    rows, left_out = published_rows(results.dataset.name, list(results.windows),
                                    whole_set=not results.missing_actions)

    def wanted(name: str) -> bool:
        return not only or any(part.lower() in name.lower() for part in only)

    shown = [row for row in rows
             if wanted(row.method) and (row.means or any(label in row.errors for label in labels))]
    names = [row.method for row in shown]  # the rows of a method stand together, however its epoch was chosen
    shown.sort(key=lambda row: (row.protocol != results.protocol, names.index(row.method)))
    return shown, [name for name in left_out if wanted(name)]


def published_section(results: Results, frames: list[int],
                      only: Sequence[str] = ()) -> tuple[list[Row], list[str]]:
    """Makes the published rows at the shown labels, and notes on what they are and where they were seen.

    frames: indices of the predicted frames.
    only: parts of the names of the rows to show; all if empty.
    """
    labels = [results.label_ms[f] for f in frames]
    found, left_out = published_beside(results, labels, only)
    rows = [row for row in found if row.errors]
    table = [Row(row.marked + other_protocol(row.protocol, results.protocol),
                 [row.errors.get(label) for label in labels],
                 rival=row.protocol == results.protocol) for row in rows]
    notes = published_notes(results, rows) + mean_notes(results, found)
    if left_out:
        notes.append(f'Not shown, as only an average over all {len(results.dataset.actions)} actions is '
                     f'published: {", ".join(left_out)}.')
    return table, notes


def other_protocol(protocol: str, own: str) -> str:
    """Returns what is put behind the name of a row that was measured on other windows."""
    return '' if protocol == own else f' [other protocol: {protocol} windows]'


def published_notes(results: Results, rows: Sequence[PublishedRow]) -> list[str]:
    """Writes how the rows' epochs were chosen, what that and the horizon change, and the rows' sources."""
    if not rows:
        return []
    over = f', means of the same {len(results.windows)} actions' if len(results.windows) > 1 else ''
    used = [f'({mark}) {meaning}' for name, (mark, meaning) in EPOCHS.items()
            if any(row.epoch == name for row in rows)]
    sources = sorted({f'{row.marked}: {"; ".join(sorted(row.sources))}' for row in rows})
    return [f'Rows with a mark are published{over}. The mark says how the epoch was chosen: '
            f'{", ".join(used)}. The epoch here is selected on {results.selected_on}; choosing it on the '
            'test set is worth 1.4 to 14% (docs/protocol.md).',
            '"10 out": a model that predicts 10 frames. It is 1-2 mm (up to 10 mm on 3DPW) better than one '
            'for 25 or 30 at the same label.',
            f'Sources of the published rows: {" | ".join(sources)}.']


def mean_notes(results: Results, rows: Sequence[PublishedRow]) -> list[str]:
    """Writes a sentence for each mean over labels that methods are published as.

    The run's own mean over the same labels stands beside it.
    """
    published: dict[tuple[int, ...], list[str]] = {}
    for row in rows:
        for labels, error in row.means.items():
            if set(labels) <= set(results.label_ms):
                sources = '; '.join(sorted(row.sources))
                published.setdefault(labels, []).append(f'{row.marked} {error:.2f} ({sources})')
    average = next(iter(results.methods.values()))['avg']
    notes = []
    for labels, methods in published.items():
        own = sum(average[results.label_ms.index(label)] for label in labels) / len(labels)
        notes.append(f'Published as the mean of {", ".join(map(str, labels))} ms alone: '
                     f'{", ".join(methods)}; here {own:.2f}.')
    return notes


def caveats(results: Results) -> list[str]:
    """Writes what the numbers do and do not say."""
    skeleton = results.dataset.skeleton
    joints, predicted, copied = len(skeleton.joints), len(skeleton.predicted), len(skeleton.copied)
    lines = [f'The field scores {joints} joints: {predicted} predicted, {copied} copied from those, '
             f'{joints - predicted - copied} taken from the truth; "predicted joints only" is the mean of '
             f'the {predicted}.']
    if results.missing_files:
        beside = '' if results.sample else ' The published rows include them.'
        lines.append(f'Not evaluated, as the files are missing: {", ".join(results.missing_files)}.{beside}')
    if skeleton.true_ms_per_frame != skeleton.label_ms_per_frame:
        lines.append(f'The field labels a frame {skeleton.label_ms_per_frame:g} ms; recorded at '
                     f'{skeleton.raw_fps} Hz with every {skeleton.stride}nd frame used it is '
                     f'{skeleton.true_ms_per_frame:.1f} ms.')
    if skeleton.mm_scale_to_true != 1:
        lines.append(f'Published mm are {1 / skeleton.mm_scale_to_true:.2f} times real ones on this dataset.')
    return lines


def label_heads(results: Results, frames: Sequence[int]) -> list[list[str]]:
    """Makes two rows of column titles: the labels of the shown frames, and their true times, both in ms."""
    true_ms = results.dataset.skeleton.true_ms(results.output_n)
    return [['label ms', *(str(results.label_ms[f]) for f in frames)],
            ['true ms', *(f'{true_ms[f]:.0f}' for f in frames)]]


def label_table(results: Results, frames: Sequence[int], rows: Sequence[Row]) -> Table:
    """Makes a table with one column for each shown frame and one row for each method."""
    return value_table(label_heads(results, frames), rows)
