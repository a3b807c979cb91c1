"""Make sample datasets of invented motion, to run every command without the recordings."""
import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.data import sample
from utils.data.skeleton import CMU, H36M, THREEDPW

DATASETS = {
    'h36m': (sample.write_h36m, sample.plan_h36m, H36M),
    'cmu': (sample.write_cmu, sample.plan_cmu, CMU),
    '3dpw': (sample.write_threedpw, sample.plan_threedpw, THREEDPW),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', metavar='DIR', type=Path, help='folder for the dataset folders h36m, cmu_mocap, 3dpw')
    parser.add_argument('--dataset', choices=(*DATASETS, 'all'), default='all', help='which to make (default: all)')
    parser.add_argument('--size', choices=sample.SIZES, default='small',
                        help='small: seconds to make; full: about as many frames as the recordings (default: small)')
    parser.add_argument('--seed', type=int, default=0, help='0 or more; one seed makes the same files (default: 0)')
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f'--seed {arguments.seed}: a seed is 0 or more')
    return arguments


def main() -> int:
    arguments = parse_arguments()
    for name in DATASETS if arguments.dataset == 'all' else (arguments.dataset,):
        write, plan, skeleton = DATASETS[name]
        started = time.perf_counter()
        try:
            files = write(arguments.root, size=arguments.size, seed=arguments.seed)
        except (ValueError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 2
        frames = sum(plan(arguments.size, arguments.seed).values())
        print(f'{name}: {len(files)} files, {frames} frames ({frames / skeleton.raw_fps:.0f} s of motion), '
              f'made in {time.perf_counter() - started:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
