"""The architectures of HINT's own: what each is called, where it is, and how a model is recognised as one.

What makes one of them train, or run in a program, is in a table there, keyed by the same name:
`hint_plugin.mace.architectures`, `hint_plugin.nequip` (its builders), `lammps_pair.mliap`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: What `torch.package`, and so `nequip-package`, puts before the modules of a package.
_IN_A_PACKAGE = re.compile(r"^<torch_package_\d+>\.")


@dataclass(frozen=True)
class Architecture:
    """One of them.

    Attributes:
        name: as people write it, and as artifacts and results name it.
        target: module:class of the plain model; pickles name it like this as well.
    """

    name: str
    target: str

    def has_made(self, model: Any) -> bool:
        """Whether a model is of this architecture, or wraps one that is; imports nothing for it.

        By the class's path: the classes of a package of NequIP's are others with the same paths.
        """
        parts = getattr(model, "modules", None)
        return parts is not None and any(
            self.target == f"{_IN_A_PACKAGE.sub('', kind.__module__)}:{kind.__qualname__}"
            for part in parts()
            for kind in type(part).__mro__
        )


#: Name -> architecture.
ARCHITECTURES = {
    found.name: found for found in (Architecture("AlphaNet", "hint_plugin.models.alphanet.model:AlphaNet"),)
}


def architecture_of(model: Any) -> str | None:
    """The name of the architecture that has made a model, in whatever it is wrapped; None: none of HINT's."""
    return next((name for name, found in ARCHITECTURES.items() if found.has_made(model)), None)
