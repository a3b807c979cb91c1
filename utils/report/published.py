"""Reads other people's errors (published.csv) and averages them over the actions that a run was tested on."""
import csv
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name('published.csv')
# How a published row's epoch was chosen: the mark behind its name, and what the mark says.
EPOCHS = {'test': ('t', 'the best on the test set'), 'validation': ('v', 'the best on validation data'),
          'last': ('l', 'the last'), 'unknown': ('?', 'not said')}


@dataclass(frozen=True)
class PublishedRow:
    """One method's errors.

    method: its name and, where it is known, how many frames it predicts.
    protocol: the test windows: 'all', '256', '8', or whose they are.
    epoch: how the epoch was chosen, a key of EPOCHS.
    errors: label in ms -> error in mm.
    means: several labels in ms -> mean error in mm, of a method published as such means alone.
    sources: where the numbers were seen.
    """

    method: str
    protocol: str
    epoch: str
    errors: dict[int, float]
    means: dict[tuple[int, ...], float]
    sources: frozenset[str]

    @property
    def marked(self) -> str:
        """Name of the method, with the mark of how its epoch was chosen."""
        return f'{self.method} ({EPOCHS[self.epoch][0]})'


def published_rows(dataset: str, actions: list[str], *,
                   whole_set: bool) -> tuple[list[PublishedRow], list[str]]:
    """Returns the rows that compare with a run on these actions, and the names of the methods that do not.

    A method published action by action is averaged over the run's actions.
    A mean of some actions ('a+b' in the table) compares with a run on exactly these.
    A mean of all ('avg') compares with a run on the whole set.
    Beside any other run such a method is left out, and its name is in the second list.

    dataset: name of the dataset in the table.
    whole_set: whether the run was tested on every action.
    """
    by_method: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    with TABLE.open(newline='') as file:
        for line in csv.DictReader(file):
            if line['dataset'] == dataset:
                frames = '' if line['output_n'] == 'unknown' else f', {line["output_n"]} out'
                key = line['method'] + frames, line['protocol'], line['epoch']
                by_method.setdefault(key, []).append(line)
    rows, left_out = [], []
    for (method, protocol, epoch), lines in by_method.items():
        table: dict[str, dict[tuple[int, ...], float]] = {}
        for line in lines:
            labels = tuple(int(label) for label in line['label_ms'].split('+'))
            table.setdefault(line['action'], {})[labels] = float(line['mpjpe_mm'])
        found = errors_over(table, actions, whole_set)
        if found is None:
            left_out += [method] if 'avg' in table else []
            continue
        rows.append(PublishedRow(
            method, protocol, epoch,
            errors={labels[0]: error for labels, error in found.items() if len(labels) == 1},
            means={labels: error for labels, error in found.items() if len(labels) > 1},
            sources=frozenset(line['source'] for line in lines)))
    return rows, left_out


def errors_over(table: dict[str, dict[tuple[int, ...], float]], actions: list[str],
                whole_set: bool) -> dict[tuple[int, ...], float] | None:
    """Returns a method's errors in mm over these actions, None where nothing published gives them.

    They are averaged from errors by action, or are a published mean.

    table: action -> labels in ms -> error in mm.
    """
    if all(action in table for action in actions):
        shared = set.intersection(*(set(table[action]) for action in actions))
        return {labels: sum(table[action][labels] for action in actions) / len(actions)
                for labels in sorted(shared)}
    for name, errors in table.items():
        if name == 'avg' and whole_set or '+' in name and set(name.split('+')) == set(actions):
            return errors
    return None
