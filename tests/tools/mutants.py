"""Mutants of a module: copies of its source with one small fault each.

| kind | fault |
|---|---|
| comparison | the opposite one; beside whole numbers also the one with or without equality |
| arithmetic | + for -, * for /, ** for *, & for |, and back; a sign or a `not` is dropped |
| number | a float is doubled, a whole number is one more, True is False |
| logic | `and` for `or`; a condition is turned round |
| call | max for min, any for all, mean for sum and the like; a root or an absolute value is left out |
| flow | None is returned; an `x += y` or a call whose result nobody takes is left out; break for continue |

What only people read is left alone: texts, the arguments of an exception, annotations, assertions for mypy.
A comparison of real numbers keeps its equality: that they are equal is too rare for a test to see it.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OPPOSITE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_PAIRS = "min/max any/all argmin/argmax minimum/maximum amin/amax mean/sum floor/ceil zeros/ones"
OTHER_CALL = {a: b for pair in _PAIRS.split() for a, b in (pair.split("/"), pair.split("/")[::-1])}
OTHER_CALL |= {
    "clamp_min": "clamp_max",
    "median": "max",
    "nanmean": "nansum",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
}
#: Calls that a fault leaves out: f(x) is x, x.f() is x.
LEFT_OUT = {"sqrt", "abs", "square", "exp", "log", "conj", "sorted", "flip", "cumsum", "rsqrt", "ravel"}
SILENT = {"__repr__", "__str__", "extra_repr"}


@dataclass(frozen=True)
class Mutant:
    """One fault: `source` is the whole module with it; the lines are those of the original."""

    path: str
    function: str
    lines: tuple[int, int]
    in_body: bool
    before: str
    after: str
    source: str
    key: str


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    text, seen = _Text(source), Counter[str]()
    found = []
    for node, new, statement, function, in_body in _walk(ast.parse(source)):
        before, changed = text.segment(node), text.replaced(node, new)
        after = " ".join(new.split())
        name = f"{path} {function} {' '.join(before.split())} -> {after}"
        seen[name] += 1
        key = hashlib.sha1(f"{name} {seen[name]}".encode()).hexdigest()[:10]
        lines = (statement.lineno, statement.end_lineno or statement.lineno)
        found.append(Mutant(path, function, lines, in_body, " ".join(before.split()), after, changed, key))
    return found


class _Text:
    """Source by the positions of `ast`, which counts bytes."""

    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: Any) -> slice:
        return slice(
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def segment(self, node: Any) -> str:
        return self.data[self.span(node)].decode()

    def replaced(self, node: Any, new: str) -> str:
        span = self.span(node)
        return (self.data[: span.start] + new.encode() + self.data[span.stop :]).decode()


_Found = tuple[ast.AST, str, Any, str, bool]


def _walk(tree: ast.Module) -> Iterator[_Found]:
    """(node, its replacement, the statement it lies in, the function, whether it runs with the function)."""
    for statement in tree.body:
        yield from _statement(statement, "", False)


def _statement(node: ast.stmt, function: str, in_body: bool) -> Iterator[_Found]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        if node.name in SILENT:
            return
        name = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, ast.FunctionDef):
            for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
                yield from ((n, new, node, name, False) for n, new in _expressions(default))
        for child in node.body:
            yield from _statement(child, name, isinstance(node, ast.FunctionDef))
        return
    if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    own = _head(node)
    yield from ((n, new, own, function, in_body) for n, new in _flow(node))
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "target", "targets") and not isinstance(node, ast.AugAssign):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.stmt):
                yield from _statement(child, function, in_body)
            elif isinstance(child, ast.ExceptHandler):
                for inner in child.body:
                    yield from _statement(inner, function, in_body)
            elif isinstance(child, ast.withitem):
                yield from ((n, new, own, function, in_body) for n, new in _expressions(child.context_expr))
            elif isinstance(child, ast.expr):
                yield from ((n, new, own, function, in_body) for n, new in _expressions(child))


def _head(node: Any) -> Any:
    """Where a compound statement's own expressions lie, without its body."""
    for name in ("test", "iter", "items"):
        part = getattr(node, name, None)
        if part is not None:
            return part[0].context_expr if isinstance(part, list) else part
    return node


def _flow(node: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.Return) and node.value is not None and not _is_empty(node.value):
        yield node, "return None"
    elif isinstance(node, ast.AugAssign) or isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass"
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield node, "continue" if isinstance(node, ast.Break) else "break"


def _expressions(node: ast.expr) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, (ast.JoinedStr, ast.Lambda)):
        if isinstance(node, ast.Lambda):
            yield from _expressions(node.body)
        return
    yield from ((node, new) for new in _faults(node))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            child = child.value
        if isinstance(child, ast.comprehension):
            yield from _expressions(child.iter)
            for test in child.ifs:
                yield from _condition(test)
                yield from _expressions(test)
        elif isinstance(child, ast.expr) and not (isinstance(node, ast.UnaryOp) and _is_number(child)):
            yield from _expressions(child)
    if isinstance(node, ast.IfExp):
        yield from _condition(node.test)


def _condition(test: ast.expr) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(test, (ast.Name, ast.Attribute, ast.Call)):
        yield test, f"(not {ast.unparse(test)})"


def _faults(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            others = [OPPOSITE[type(op)]]
            if type(op) in BOUNDARY and _counts(node):
                others.append(BOUNDARY[type(op)])
            for other in others:
                yield _changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        if not isinstance(node.op, ast.BitOr) or "None" not in ast.unparse(node):  # X | None is a type
            yield _changed(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield f"({ast.unparse(node.operand)})"
    elif _is_number(node):
        yield _other_number(node.value)  # type: ignore[attr-defined]
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[str]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in OTHER_CALL:
        other: ast.expr
        if isinstance(function, ast.Attribute):
            other = ast.Attribute(function.value, OTHER_CALL[name], ast.Load())
        else:
            other = ast.Name(OTHER_CALL[name], ast.Load())
        yield _changed(node, func=other)
    if name in LEFT_OUT:
        is_method = isinstance(function, ast.Attribute) and ast.unparse(function.value) not in (
            "np",
            "torch",
            "math",
        )
        if not is_method and node.args:
            yield f"({ast.unparse(node.args[0])})"
        elif is_method and isinstance(function, ast.Attribute):
            yield f"({ast.unparse(function.value)})"


def _changed(node: ast.expr, **fields: Any) -> str:
    values = {name: getattr(node, name) for name in node._fields}
    return f"({ast.unparse(type(node)(**{**values, **fields}))})"


def _other_number(value: Any) -> str:
    if isinstance(value, bool):
        return repr(not value)
    return repr(value + 1) if isinstance(value, int) or value == 0 else repr(2 * value)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float))


def _is_empty(node: ast.expr) -> bool:
    """Whether None says the same."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        for n in (node.left, node.right)
    )


def _counts(node: ast.Compare) -> bool:
    """Whether whole numbers are compared."""
    parts = [ast.unparse(part) for part in (node.left, *node.comparators)]
    whole = any(
        isinstance(part, ast.Constant) and isinstance(part.value, int)
        for part in (node.left, *node.comparators)
    )
    return whole or any(part.startswith("len(") or part.endswith((".ndim", ".size")) for part in parts)
