"""What the verbs of `hint dataset` do, as functions of the same names and options.

    from hint_plugin.data.sets.run import dataset_convert, dataset_stats
    dataset_convert("outcars/*.out", "set.h5").frames
    dataset_stats("set.h5").statistics.e0

Beside its own options, each takes

- `inputs`: files, folders of shards, patterns of files; one or several.
- `output`: the file or folder, as `-o` of the command. Beside a file, and in a folder, is a JSON of what was
  done.
- `hessian_dtype`, `compression`: of stores (.h5): float32 or float64; gzip, lzf or none.
- `report`: called with the name of what is being done, often a file, and the number of frames done.

and returns a result with `as_dict()`. Files that cannot be read, and options with which nothing can be done,
raise a HintError.
"""

from hint_plugin.data.sets.conversion import Conversion
from hint_plugin.data.sets.run_check import CheckResult, dataset_check
from hint_plugin.data.sets.run_convert import dataset_convert
from hint_plugin.data.sets.run_merge import MergeResult, dataset_merge
from hint_plugin.data.sets.run_split import Shards, dataset_split
from hint_plugin.data.sets.run_stats import StatsResult, dataset_stats
from hint_plugin.data.sets.splits import SplitReport

__all__ = [
    "CheckResult",
    "Conversion",
    "MergeResult",
    "Shards",
    "SplitReport",
    "StatsResult",
    "dataset_check",
    "dataset_convert",
    "dataset_merge",
    "dataset_split",
    "dataset_stats",
]
