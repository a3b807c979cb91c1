"""Where options stop: builds what a run needs from a mapping of settings.

The settings are the parsed options (`vars(options)`), or those that a checkpoint holds.
"""
from collections.abc import Mapping
from typing import Any

from model.ksof import KSOF

Settings = Mapping[str, Any]


def build_network(settings: Settings) -> KSOF:
    """Builds the untrained network."""
    without = settings['without']
    return KSOF(node_n=settings['node_n'], input_n=settings['input_n'], output_n=settings['output_n'],
                dct_n=settings['dct_n'], num_gcn=settings['num_gcn'], d_model=settings['d_model'],
                dropout=settings['dropout'], tcn_axis=settings['tcn_axis'], topk=settings['topk'],
                wiring=settings['wiring'], norm='layer' if without == 'batch_norm' else 'batch',
                **{part: without != part for part in ('ktcn', 'sgcn', 'gates', 'fusion', 'fusion_residual')})
