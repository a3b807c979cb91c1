"""What of a run's settings training reads. Each field is named as its option, and opt.py says what it means."""
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What does not change while a run trains. Made by utils/build.py."""

    epoch: int  # to train in all
    batch_size: int  # windows of a step in each process
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
    save_minutes: float
    amp: bool
    tf32: bool
    compile: bool
    seed: int
