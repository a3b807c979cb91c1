"""KSOF on 3DPW: python main_3dpw.py --data_dir DATA [options]; see --help and README.md."""
import sys

from utils.data.threedpw import DATASET
from utils.start import main

DEFAULTS = {'output_n': 30, 'node_n': 69, 'batch_size': 32, 'test_batch_size': 64, 'lr_now': 0.001}

if __name__ == '__main__':
    sys.exit(main(DATASET, DEFAULTS))
