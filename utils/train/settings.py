"""Holds the settings that training reads.

Each field has the name of its option; the help in opt.py says what it means.
"""
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of one training; they do not change while it runs. utils/build.py makes them."""

    epoch: int  # number of epochs to train in all
    batch_size: int  # windows of a step on each rank
    test_batch_size: int
    lr_now: float
    lr_end: float
    warmup_steps: int
    optimizer: str
    weight_decay: float
    clip_norm: float
    balance: float
    average: float  # decay of the EMA; 0 without one
    symmetry: str
    skip_bad_steps: int
    refit: bool  # the validation windows are trained on too
    save_minutes: float
    amp: bool
    tf32: bool
    compile: bool
    seed: int
