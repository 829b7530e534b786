"""A reactive set without Transition1x: GFN2-xTB labels of small HCNO molecules and of the ways between them.

    python benchmarks/reactive_set.py -o DIR [--size tiny|small|full] [--source FILE] [--plan] [--page]

Molecules of up to seven heavy atoms grow at random; up to two of their bonds break and form; geodesic paths,
short elastic bands, saddles and the minima on both sides, hot dynamics, thermal displacements, atoms pushed
together and pulled apart give candidates. `hint sample wld` chooses among them, `hint label` labels: full
Hessians of stationary points, of all that is held out and of a part of the rest, pairs (v, Hv) of the others.
DIR/train, DIR/valid and DIR/test are folders of stores that grow by a shard at a time, DIR/manifest.json says
what is in them. What was stopped goes on, and gives the same set. `--source` takes the geometries of another
set (Transition1x, HORM, any file that HINT reads) instead, and none of its labels. docs/reactive-set.md has
the numbers; `--page` puts those of DIR there. Needs `pip install rdkit` besides the extras label, reactions
and sample.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from _commands import study_parser
from reactive.amounts import SIZES


def main() -> None:
    """Command line."""
    from reactive.costs import as_tables, measure, plan  # not above: processes that label would load it, too
    from reactive.report import write_page
    from reactive.whole import make_set

    parser = study_parser(__doc__, "reactive-out", SIZES)
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    parser.add_argument(
        "--source", type=Path, help="file of geometries, in place of those that are made here"
    )
    parser.add_argument(
        "--plan", action="store_true", help="measure units, print what the set costs, and end"
    )
    parser.add_argument("--page", action="store_true", help="numbers of OUTPUT into the docs, and end")
    options = parser.parse_args()
    amounts = replace(SIZES[options.size], seed=options.seed)
    if options.plan:
        costs = measure(amounts)
        print(as_tables(costs, plan(amounts, costs)))
        return
    if options.page:
        write_page(options.output.resolve())
        return
    print(make_set(options.output.resolve(), amounts, options.jobs, options.source, _say).read_text())


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
