"""A reactive set without Transition1x: GFN2-xTB labels of small HCNO molecules and of the ways between them.

    python benchmarks/reactive_set.py -o DIR [--size tiny|small|full] [--jobs 1] [--seed 0]

Molecules of up to seven heavy atoms grow at random; up to two of their bonds break and form; geodesic paths,
short elastic bands, saddles and the minima on both sides, hot dynamics, thermal displacements, atoms pushed
together and pulled apart give candidates. `hint sample wld` chooses among them, `hint label` labels: full
Hessians of stationary points, of all that is held out and of a part of the rest, pairs (v, Hv) of the others.
DIR/train, DIR/valid and DIR/test are folders of stores that grow by a shard at a time, DIR/manifest.json says
what is in them. What was stopped goes on, and gives the same set. docs/reactive-set.md has the numbers. Needs
`pip install rdkit` besides the extras label, reactions and sample.
"""

from __future__ import annotations

from dataclasses import replace

from _commands import study_parser
from reactive.amounts import SIZES
from reactive.whole import make_set


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "reactive-out", SIZES)
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    options = parser.parse_args()
    amounts = replace(SIZES[options.size], seed=options.seed)
    path = make_set(options.output.resolve(), amounts, options.jobs, lambda text: print(text, flush=True))
    print(path.read_text())


if __name__ == "__main__":
    main()
