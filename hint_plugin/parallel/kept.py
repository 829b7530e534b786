"""`keep`: what is done so far stays in a journal when a run is stopped, and goes when the run has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hint_plugin.errors import HintError, InterruptedRunError, MemoryRanOutError
from hint_plugin.parallel.journal import Journal
from hint_plugin.parallel.pool import terminate_as_interrupt

JOURNAL = ".partial.jsonl"


def journal_of(output: Path, verb: str = "") -> Path:
    """The journal of a run: beside OUT, or with `verb` in the folder OUT."""
    return output / f"{verb}{JOURNAL}" if verb else output.with_name(f"{output.name}{JOURNAL}")


@contextmanager
def keep(
    path: Path,
    run: Mapping[str, Any],
    stopped: Callable[[Journal], str],
    *,
    restart: bool = False,
    drop_on_error: bool = False,
) -> Iterator[Journal]:
    """The journal of a run while the block lasts; it is removed where the block ends without an error.

    Args:
        path: of the journal (`journal_of`).
        run: all that results depend on, in words, the `verb` among them: another run's journal is refused.
        stopped: what to say when the run is stopped.
        restart: drop what an interrupted run has left.
        drop_on_error: a `HintError` of the block would come again, and nothing is left to go on with; unless
            memory ran out, of which another machine may have more.

    Raises:
        OptionsError: the journal is that of another run, or another process writes to it.
        InterruptedRunError: Ctrl-C or SIGTERM in the block; what the journal has stays.
    """
    if restart:
        path.unlink(missing_ok=True)
    as_read_back = json.loads(json.dumps(dict(run), default=str))
    kept = Journal(path, {"run": as_read_back}, writer=f"hint {run['verb']}")
    try:
        with terminate_as_interrupt():
            yield kept
            kept.remove()
    except KeyboardInterrupt:
        raise InterruptedRunError(stopped(kept)) from None
    except (InterruptedRunError, MemoryRanOutError):
        raise
    except HintError:
        if drop_on_error:
            kept.remove()
        raise
    finally:
        if not len(kept):
            kept.remove()  # it would say nothing
        kept.close()
