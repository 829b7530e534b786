"""What counts as a number in a label: integers and floats, and nothing that numpy would make one of.

ASE reads the comment `energy -137.96` as two flags that are true, and numpy takes a flag for 1.0 and the text
"7" for 7.0. A label of either is a mistake.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = {"b": "true or false", "U": "text", "S": "text", "c": "complex numbers", "O": "something else"}


def real_numbers(value: Any) -> NDArray[np.float64]:
    """The value as an array of floats.

    Raises:
        TypeError: it holds something else than real numbers; with what.
        ValueError: it is no rectangular array.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        kind = _KINDS.get(array.dtype.kind, str(array.dtype))
        raise TypeError(f"{kind} in place of real numbers")
    return array.astype(np.float64)
