"""Other people's numbers (published.csv, one a row with its source), averaged over the actions a run has."""
import csv
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name('published.csv')


@dataclass(frozen=True)
class PublishedRow:
    """One method's errors in mm at some labels, averaged over `actions`; protocol is 'all', '256' or '8'."""

    method: str
    protocol: str
    errors: dict[int, float]
    source: str


def published_rows(dataset: str, actions: list[str], *, whole_set: bool) -> tuple[list[PublishedRow], list[str]]:
    """The rows that compare with a run on these actions, and the names of those that do not.

    A method published action by action is averaged over the run's actions. One published as an average only compares
    with a run that has the whole set; otherwise its name comes back in the second list.
    """
    by_method: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    sources = {}
    with TABLE.open(newline='') as file:
        for row in csv.DictReader(file):
            if row['dataset'] == dataset:
                key = (f'{row["method"]} {row["variant"].replace("_", " ")}'.strip(), row['protocol'])
                own = by_method.setdefault(key, {}).setdefault(row['action'], {})
                own[int(row['label_ms'])] = float(row['mpjpe_mm'])
                sources[key] = row['source']
    rows, left_out = [], []
    for (method, protocol), table in by_method.items():
        if all(action in table for action in actions):
            labels = set.intersection(*(set(table[action]) for action in actions))
            errors = {label: sum(table[action][label] for action in actions) / len(actions) for label in sorted(labels)}
        elif whole_set and 'avg' in table:
            errors = table['avg']
        else:
            left_out.append(method)
            continue
        rows.append(PublishedRow(method, protocol, errors, sources[method, protocol]))
    return rows, left_out
