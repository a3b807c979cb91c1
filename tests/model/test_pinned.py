"""The network's and the loss's values for seeded weights, as tests/golden/make_network.py wrote them."""
import json

import numpy as np
import pytest
from golden.make_network import PATH, pinned
from seeded import NODE_N


@pytest.mark.parametrize('dataset', NODE_N)
def test_predictions_loss_and_the_gradient_of_every_parameter_are_as_they_were(dataset):
    """Where that is meant to change: python tests/golden/make_network.py."""
    before, now = json.loads(PATH.read_text())[dataset], pinned(dataset)
    assert now.keys() == before.keys()
    changed = [name for name in now if not np.allclose(now[name], before[name], rtol=1e-9, atol=1e-9)]
    assert changed == []
