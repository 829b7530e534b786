"""Labels and files of labelled frames: what a Hessian label is, and how extxyz and HDF5 keep it."""

from hint_plugin.data.labels.extxyz import (
    FrameProblem,
    FrameReport,
    check_frames,
    clear_labels,
    read_label,
    write_label,
)
from hint_plugin.data.labels.label import HessianLabel, rademacher
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.data.sets.frames import iter_frames, read_frames, write_frames
from hint_plugin.data.sets.merging import merge
from hint_plugin.data.sets.sampling_plan import Choice, SamplingPlan, Source
from hint_plugin.data.stores.hdf5 import FrameStore
from hint_plugin.data.stores.shards import ShardedStore, write_shards

__all__ = [
    "Choice",
    "FrameProblem",
    "FrameReport",
    "FrameStore",
    "HessianLabel",
    "LabelKeys",
    "SamplingPlan",
    "ShardedStore",
    "Source",
    "Thresholds",
    "check_frames",
    "clear_labels",
    "iter_frames",
    "merge",
    "rademacher",
    "read_frames",
    "read_label",
    "write_frames",
    "write_label",
    "write_shards",
]
