"""The tests of the tests: changes of meaning, one by one, must each make a test fail."""
import subprocess
import sys

import mutate
import pytest
from mutations import CHANGES

from tests.conftest import PROJECT


def test_every_change_has_its_text_once_and_breaks_a_rule_of_its_own():
    assert list(mutate.misplaced()) == []
    rules = [(file, rule) for file, changes in CHANGES.items() for rule, *_ in changes]
    assert len(rules) == len(set(rules)) >= 100
    assert all(old != new for changes in CHANGES.values() for _, old, new in changes)
    assert all((PROJECT / test.partition('::')[0]).is_file() for file in CHANGES for test in mutate.tests_of(file))


@pytest.mark.long
def test_at_most_two_changes_in_a_hundred_are_not_noticed():
    """Hours on a busy core; in pieces: python tests/mutate.py --results FILE."""
    done = subprocess.run([sys.executable, 'tests/mutate.py'], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
