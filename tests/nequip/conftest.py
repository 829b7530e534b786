"""Without NequIP there are no fixtures, and every module here skips itself."""

from importlib.util import find_spec

if find_spec("nequip") is not None:
    from nequip_fixtures import *  # noqa: F403
    from nequip_fixtures import _as_in_a_process_of_nequip  # noqa: F401
