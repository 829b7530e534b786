"""What computes, named so that two calls know whether they mean the same: the address of a server."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hint_plugin import __version__
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.pretrained import names, or_path

OF_THE_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that a server takes over from the call that starts it: another value, another server."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Spec:
    """A model's file, or an engine with its options.

    Attributes:
        model: absolute path of its file; None of an engine.
        model_sha256: of its content.
        engine: its name; None of a model.
        options: of the engine, words `key=value`.
        device: of a model: cpu, cuda.
        folder: where an engine with options runs, since they may name files; None otherwise.
    """

    model: str | None = None
    model_sha256: str | None = None
    engine: str | None = None
    options: tuple[str, ...] = ()
    device: str = "cpu"
    folder: str | None = None

    @classmethod
    def of(cls, potential: Any, device: str = "cpu") -> Spec:
        """Of a file or a name, or of something with `model`, `engine` and `options` (`PotentialSpec`).

        A file of that name comes before the model that comes with HINT, and this before an engine.

        Raises:
            OptionsError: neither or both, options of a model, or what has no name: an open potential.
            DataError: no such file.
        """
        if isinstance(potential, Spec):
            return potential
        if isinstance(potential, str | os.PathLike):
            text = str(potential)
            is_model = Path(text).exists() or text in names() or Path(text).suffix != "" or os.sep in text
            return cls.asked(Path(text), None, (), device) if is_model else cls.asked(None, text, (), device)
        if potential is None or not all(hasattr(potential, name) for name in ("model", "engine", "options")):
            raise OptionsError(
                f"got {type(potential).__name__}; wanted the file of a model, or the name of a model or "
                "engine: a server opens it for itself"
            )
        options = potential.options or ()
        if isinstance(options, Mapping):
            options = [f"{key}={value}" for key, value in options.items()]
        return cls.asked(potential.model, potential.engine, options, device)

    @classmethod
    def asked(
        cls, model: Path | None, engine: str | None, options: Iterable[str] | None, device: str = "cpu"
    ) -> Spec:
        """Of what a command line names: the file or name of a model, or an engine with words `key=value`.

        Raises as `of`.
        """
        options = tuple(options or ())
        if (model is None) == (engine is None):
            got = "neither" if model is None else "both"
            raise OptionsError(f"got {got} of --model FILE and --engine NAME; wanted one (--engine gfn2-xtb)")
        if model is None:
            return cls(engine=engine, options=tuple(sorted(options)), folder=os.getcwd() if options else None)
        if options:
            raise OptionsError("--engine-option goes with --engine")
        path = or_path(model).absolute()
        return cls(model=str(path), model_sha256=sha256(path), device=device)

    def key(self) -> str:
        """The same for the same content of the model, options, version of HINT, Python and environment."""
        told = asdict(self) | {"hint": __version__, "package": str(Path(__file__).parent)}
        told |= {"python": sys.executable, **{name: os.environ.get(name) for name in OF_THE_ENVIRONMENT}}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return str(self.engine if self.model is None else Path(self.model).name)


def sha256(path: Path) -> str:
    """Of a file's content.

    Raises:
        DataError: it is none, or cannot be read.
    """
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(CHUNK):
                found.update(part)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); wanted the file of a model (`hint export`, "
            "`hint model list`)"
        ) from error
    return found.hexdigest()
