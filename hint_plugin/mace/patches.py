"""What is put around MACE's functions, and the check that they are the functions this was written for.

| module of MACE | function | with HINT in use |
|---|---|---|
| tools.arg_parser | build_default_arg_parser | HINT's losses and options |
| tools.arg_parser | build_preprocess_arg_parser | ``--hint_labels`` |
| tools.scripts_utils | get_loss_fn, get_swa | MACE's loss inside a `HintLoss` |
| tools.scripts_utils | get_params_options | parameters of HINT's architectures |
| tools.model_script_utils | configure_model | builds one of HINT's architectures |
| tools.train | train | counts labels, checks H v, sets the clock |
| tools.train | train_one_epoch, take_step, take_step_lbfgs | the clock; `HessianForward` for the model |
| tools.train | evaluate, valid_err_log | validation of Hessians |
| tools.tables_utils | create_error_table | columns for Hessians |
| tools.run_train_utils | load_dataset_for_path | reads HINT's HDF5 files |
| tools.torch_geometric.dataloader | DataLoader | what a worker has to know travels with the data set |
| tools.multihead_tools | generate_pseudolabels_for_configs | no Hessian beside another level's forces |
| data.utils | config_from_atoms, load_from_xyz | reads labels; names the frame of a bad one |
| data.atomic_data | AtomicData.from_config | structures without a label get empty arrays |

Every wrapper calls MACE's own function with its own arguments when no HINT loss, architecture and file of
HINT is in use. The module of a MACE whose functions have other parameters is left alone, and a HINT option
then ends with one sentence.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import shlex
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hint_plugin import __version__
from hint_plugin.allocator import keep_freed_memory
from hint_plugin.errors import HintError, OptionsError
from hint_plugin.mace.active_options import session
from hint_plugin.mace.architectures import IN_PLACE_OF_MACE, in_place_of_mace, trained
from hint_plugin.mace.hook import TARGETS

#: Parameters that HINT relies on; more of them are no problem.
SIGNATURES: dict[str, dict[str, tuple[str, ...]]] = {
    "mace.tools.arg_parser": {"build_default_arg_parser": (), "build_preprocess_arg_parser": ()},
    "mace.tools.scripts_utils": {
        "get_loss_fn": ("args",),
        "get_swa": ("args", "model", "optimizer", "swas"),
        "get_params_options": ("args", "model"),
    },
    "mace.tools.model_script_utils": {
        "configure_model": (
            "args",
            "train_loader",
            "atomic_energies",
            "model_foundation",
            "heads",
            "z_table",
            "head_configs",
        ),
    },
    "mace.tools.train": {
        "train": (
            "model",
            "loss_fn",
            "train_loader",
            "valid_loaders",
            "max_num_epochs",
            "device",
            "swa",
            "log_wandb",
        ),
        "train_one_epoch": ("model", "loss_fn", "data_loader", "optimizer", "epoch"),
        "take_step": ("model", "loss_fn", "batch", "optimizer"),
        "take_step_lbfgs": ("model", "loss_fn", "data_loader", "optimizer"),
        "evaluate": ("model", "loss_fn", "data_loader", "output_args", "device"),
        "valid_err_log": ("valid_loss", "eval_metrics", "logger", "log_errors", "epoch", "valid_loader_name"),
        "preserve_grad_state": ("model",),
    },
    "mace.tools.run_train_utils": {
        "load_dataset_for_path": ("file_path", "r_max", "z_table", "heads", "head_config", "collection"),
    },
    "mace.tools.multihead_tools": {"generate_pseudolabels_for_configs": ("model", "configs")},
    "mace.tools.torch_geometric.dataloader": {"DataLoader": ("dataset",)},
    "mace.tools.tables_utils": {"create_error_table": ("all_data_loaders", "loss_fn", "log_wandb")},
    "mace.data.utils": {
        "config_from_atoms": ("atoms", "key_specification"),
        "load_from_xyz": ("file_path",),
        "compute_average_E0s": ("collections_train", "z_table"),
    },
    "mace.modules.utils": {
        "compute_mean_rms_energy_forces": ("data_loader", "atomic_energies"),
        "compute_mean_std_atomic_inter_energy": ("data_loader", "atomic_energies"),
    },
    "mace.data.atomic_data": {},
}


def patch(module: ModuleType) -> None:
    """Wrap the functions of one module of MACE that has just been loaded.

    Raises:
        HintError: a function is missing or has other parameters; nothing has been changed then.
    """
    name = module.__name__
    for function, wanted in SIGNATURES[name].items():
        found = getattr(module, function, None)
        parameters = inspect.signature(found).parameters if callable(found) else {}
        missing = [p for p in wanted if p not in parameters]
        if found is None or missing:
            raise HintError(
                f"{function}{'' if found is None else ' lacks ' + ', '.join(missing)}: unknown to HINT"
            )
    _PATCHES[name](module)


def _wrap(module: ModuleType, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace ``module.name`` by ``wrapper(original, *args, **kwargs)``, also where it was imported to."""
    original = getattr(module, name)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    for other in [m for key, m in sys.modules.items() if key.split(".")[0] == "mace" and m is not None]:
        if vars(other).get(name) is original:
            setattr(other, name, call)
    setattr(module, name, call)


# ---------------------------------------------------------------------------------------------- command line


def _patch_arg_parser(module: ModuleType) -> None:
    from hint_plugin.mace import options

    def default_parser(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        parser = original(*args, **kwargs)
        options.add_arguments(parser)
        for architecture in IN_PLACE_OF_MACE.values():
            architecture.option("add_arguments")(parser)
        return _after_parsing(parser, _start_training)

    def preprocess_parser(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        parser = original(*args, **kwargs)
        options.add_label_arguments(parser)
        return _after_parsing(parser, _start_preparing)

    _wrap(module, "build_default_arg_parser", default_parser)
    _wrap(module, "build_preprocess_arg_parser", preprocess_parser)


def _after_parsing(parser: Any, action: Callable[[Any], None]) -> Any:
    """Make ``parser`` hand its result to ``action``; an `OptionsError` becomes a usage error."""
    original = parser.parse_known_args

    def parse_known_args(*args: Any, **kwargs: Any) -> Any:
        namespace, rest = original(*args, **kwargs)
        try:
            action(namespace)
        except OptionsError as error:
            parser.error(str(error))
        return namespace, rest

    parser.parse_known_args = parse_known_args
    return parser


def _start_training(args: Any) -> None:
    from hint_plugin.mace import options

    found = options.from_arguments(args)
    for architecture in IN_PLACE_OF_MACE.values():
        architecture.option("check_model_options")(args)
    kernels = found is None and options.given(args).get("kernels") == "fast"
    if found is not None or kernels or args.model in IN_PLACE_OF_MACE:
        require_wrapped()
        _short_errors()
        keep_freed_memory()
    if found is None:
        session.start(None, labels=False, kernels=kernels)
        return
    options.check_combination(args, found)
    session.start(found, labels=True)
    args.loss = found.base_loss


def require_wrapped() -> None:
    """Import what MACE has not imported yet, and see that all of it could be wrapped.

    Raises:
        OptionsError: a module or function of MACE is not there, or is not what HINT was written for.
    """
    for name in TARGETS:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name:  # something that MACE imports, which is no matter of its version
                    raise
                session.problems.append(f"{name}: {error}")
        elif name not in session.wrapped and not any(p.startswith(name) for p in session.problems):
            session.problems.append(f"{name}: loaded before HINT")
    if session.problems:
        raise OptionsError(session.unknown_version())


def _start_preparing(args: Any) -> None:
    from hint_plugin.mace import options

    if args.hint_labels:
        require_wrapped()
    found = options.HintOptions(**options.given(args)) if args.hint_labels else None
    session.start(found, labels=args.hint_labels)


def _short_errors() -> None:
    """Let a `HintError` end the program with its message, not with a traceback."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if isinstance(error, HintError):
            sys.stderr.write(f"error: {error}\n")
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


# ------------------------------------------------------------------------------------------------------ loss


def _patch_scripts_utils(module: ModuleType) -> None:
    def get_loss_fn(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return _with_hessians(original(*args, **kwargs))

    def get_swa(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        swa, swas = original(*args, **kwargs)
        swa.loss_fn = _with_hessians(swa.loss_fn)
        return swa, swas

    def get_params_options(original: Callable[..., Any], args: Any, model: Any) -> Any:
        architecture = in_place_of_mace(model)
        if architecture is None:
            return original(args, model)
        return architecture.function("parameter_options")(original, args, model)

    _wrap(module, "get_loss_fn", get_loss_fn)
    _wrap(module, "get_swa", get_swa)
    _wrap(module, "get_params_options", get_params_options)


def _patch_model_script_utils(module: ModuleType) -> None:
    def configure_model(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(original).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        architecture = trained(given["args"].model, given["model_foundation"])
        if architecture is None:
            return _remember(original(*args, **kwargs), given["train_loader"])
        return _remember(architecture.function("configure_model")(**given), given["train_loader"])

    _wrap(module, "configure_model", configure_model)


def _remember(built: tuple[Any, Any], train_loader: Any) -> tuple[Any, Any]:
    """How a model is being trained goes with it into its file: `hint export` reads it."""
    if session.options is not None or in_place_of_mace(built[0]) is not None:
        from hint_plugin.mace.trained_on import trained_on

        about = {
            "command": shlex.join(["mace_run_train", *sys.argv[1:]]),
            "hint": __version__,
            "levels": sorted(session.methods),
            "trained_on": trained_on(built[1], train_loader),
        }
        built[0].hint_training = json.dumps(about)
    return built


def _with_hessians(base: Any) -> Any:
    if session.options is None:
        return base
    from hint_plugin.mace.loss import Clock, HintLoss

    return HintLoss(base, session.options, Clock())


# -------------------------------------------------------------------------------------------------- training


def _patch_train(module: ModuleType) -> None:
    from hint_plugin.mace import wrappers

    for name in ("train", "train_one_epoch", "take_step", "take_step_lbfgs", "valid_err_log"):
        _wrap(module, name, _bound(wrappers, name))
    frozen = module.preserve_grad_state
    _wrap(module, "evaluate", lambda original, *a, **k: wrappers.evaluate(original, frozen, *a, **k))


def _patch_tables_utils(module: ModuleType) -> None:
    from hint_plugin.mace import wrappers

    _wrap(module, "create_error_table", wrappers.create_error_table)


def _bound(wrappers: ModuleType, name: str) -> Callable[..., Any]:
    """Call ``wrappers.<name>(original, arguments by name)``, or the original when the loss is not HINT's."""

    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if session.options is None and not (session.kernels and name == "train"):
            return original(*args, **kwargs)
        bound = inspect.signature(original).bind(*args, **kwargs)
        bound.apply_defaults()
        return getattr(wrappers, name)(original, dict(bound.arguments))

    return call


# ------------------------------------------------------------------------------------------------------ data


def _patch_data_utils(module: ModuleType) -> None:
    for name in ("config_from_atoms", "load_from_xyz"):
        _wrap(module, name, _reading(name))
    _wrap(module, "compute_average_E0s", _averaged("average_e0s"))


def _reading(name: str) -> Callable[..., Any]:
    """Call ``reading.<name>(original, ...)``, or the original when no labels are read."""

    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not session.labels:
            return original(*args, **kwargs)
        from hint_plugin.mace import reading

        return getattr(reading, name)(original, *args, **kwargs)

    return call


def _patch_multihead_tools(module: ModuleType) -> None:
    _wrap(module, "generate_pseudolabels_for_configs", _reading("pseudolabels"))


def _patch_dataloader(module: ModuleType) -> None:
    original = module.DataLoader.__init__

    @functools.wraps(original)
    def initialise(self: Any, dataset: Any, *args: Any, **kwargs: Any) -> None:
        if session.options is not None and session.labels:
            from hint_plugin.mace.workers import carried

            dataset = carried(dataset)
        original(self, dataset, *args, **kwargs)

    module.DataLoader.__init__ = initialise


def _patch_modules_utils(module: ModuleType) -> None:
    _wrap(module, "compute_mean_rms_energy_forces", _averaged("mean_and_rms"))
    _wrap(module, "compute_mean_std_atomic_inter_energy", _averaged("mean_and_std"))
    by_name = getattr(sys.modules.get("mace.modules"), "scaling_classes", {})  # if it was there first
    for key, function in by_name.items():
        by_name[key] = getattr(module, function.__name__, function)


def _averaged(name: str) -> Callable[..., Any]:
    """Call ``averages.<name>(original, ...)``, or the original when the loss is not HINT's."""

    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if session.options is None:
            return original(*args, **kwargs)
        from hint_plugin.mace import averages

        return getattr(averages, name)(original, *args, **kwargs)

    return call


def _patch_run_train_utils(module: ModuleType) -> None:
    def load_dataset_for_path(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        from hint_plugin.mace.stores import store_dataset

        bound = dict(inspect.signature(original).bind(*args, **kwargs).arguments)
        bound.pop("collection", None)
        found = store_dataset(**bound)
        return original(*args, **kwargs) if found is None else found

    _wrap(module, "load_dataset_for_path", load_dataset_for_path)


def _patch_atomic_data(module: ModuleType) -> None:
    method = getattr(getattr(module, "AtomicData", None), "from_config", None)
    original = getattr(method, "__func__", None)
    if original is None or list(inspect.signature(original).parameters)[:2] != ["cls", "config"]:
        raise HintError("AtomicData.from_config(config, ...): unknown to HINT")

    def from_config(cls: Any, config: Any, *args: Any, **kwargs: Any) -> Any:
        if session.labels and "hint_count" not in config.properties:
            from hint_plugin.mace.labels import attach

            attach(config, None)
        return original(cls, config, *args, **kwargs)

    module.AtomicData.from_config = classmethod(functools.wraps(original)(from_config))


_PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "mace.tools.arg_parser": _patch_arg_parser,
    "mace.tools.scripts_utils": _patch_scripts_utils,
    "mace.tools.model_script_utils": _patch_model_script_utils,
    "mace.tools.train": _patch_train,
    "mace.tools.run_train_utils": _patch_run_train_utils,
    "mace.tools.multihead_tools": _patch_multihead_tools,
    "mace.tools.torch_geometric.dataloader": _patch_dataloader,
    "mace.tools.tables_utils": _patch_tables_utils,
    "mace.data.utils": _patch_data_utils,
    "mace.modules.utils": _patch_modules_utils,
    "mace.data.atomic_data": _patch_atomic_data,
}
