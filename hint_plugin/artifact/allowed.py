"""What an artifact may hold, checked before torch reads it: arithmetic, and no way out of it.

TorchScript is a language, and its library can write files (``torch.save``, ``torch.from_file``); an object's
``__setstate__`` runs while it is loaded. So the source of an artifact is parsed here first, by Python's
parser and without running anything: only statements of arithmetic, operators of
`hint_plugin.artifact.operators`, and functions and classes whose source is in the archive itself. What torch
then makes of the source is checked once more, operator by operator, before it runs.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from hint_plugin.artifact.operators import is_allowed
from hint_plugin.artifact.script_pickle import check_pickle
from hint_plugin.errors import DataError

_FILES = re.compile(
    r"data\.pkl|constants\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
    r"|extra/hint\.json|data/\d+|constants/\d+|code/__torch__(/\w+)*\.py(\.debug_pkl)?"
)
_STATEMENTS = frozenset(
    {
        *(ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.AnnAssign),
        *(ast.Return, ast.If, ast.While, ast.For, ast.Break, ast.Continue, ast.Expr, ast.Pass, ast.Call),
        *(ast.keyword, ast.Name, ast.Attribute, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Subscript),
        *(ast.Slice, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Load, ast.Store),
        *ast.unaryop.__subclasses__(),
        *ast.operator.__subclasses__(),
        *ast.boolop.__subclasses__(),
        *ast.cmpop.__subclasses__(),
    }
)
#: Words of TorchScript itself: functions that compute or annotate, and types.
_NAMES = """
    annotate unchecked_cast uninitialized getattr range int float bool str complex len isinstance abs min max
    sorted list dict tuple enumerate zip round pow sum all any inf nan infj nanj
    Tensor Optional List Dict Tuple Union NoneType Device Final number Scalar Any Module NamedTuple
    """
_WORDS = frozenset(_NAMES.split())
#: Nodes of the source within each other; exports have up to 18. Not left to Python, whose limit for its own
#: stack other packages raise: torch's parser, which comes next, has none.
_DEEPEST = 150
_SPECIAL_METHODS = {"__len__", "__contains__", "__getitem__", "__call__"}
_CLASS_LISTS = {"__parameters__", "__buffers__", "__annotations__", "__constants__"}


def check_entries(entries: Mapping[str, bytes], path: Path) -> None:
    """Everything that torch would read.

    Raises:
        DataError: an entry, a line or an object that no export of HINT has; the message names it.
    """
    for name in entries:
        if not _FILES.fullmatch(name):
            raise _refused(path, f"it has an entry {name!r}, which no export of HINT has")
    sources = {name: _parsed(text, name, path) for name, text in entries.items() if name.endswith(".py")}
    own = {f"{_module(name)}.{node.name}" for name, tree in sources.items() for node in _defined(tree, path)}
    if foreign := [name for name in own if _is_torchs_own(name)]:
        raise _refused(path, f"it defines {foreign[0]}, a class of torch")
    members = {name for tree in sources.values() for name in _members(tree)}
    for name, tree in sources.items():
        try:
            _Source(name, path, own, members).visit(tree)
        except RecursionError as error:
            raise _refused(path, f"{name} is nested more deeply than any model") from error
    for name in ("data.pkl", "constants.pkl"):
        if name not in entries:
            raise _refused(path, f"it has no {name}")
        check_pickle(entries, name, own, path)


def check_graphs(module: torch.jit.ScriptModule, methods: tuple[str, ...], path: Path) -> None:
    """The methods that will be called, as torch understood them, everything that they call included.

    Raises:
        DataError: an operator that is not on the list.
    """
    for name in methods:
        try:
            graph = getattr(module, name).inlined_graph
        except (AttributeError, RuntimeError) as error:
            raise DataError(f"{path} has no method {name}; export the model again") from error
        for node in _nodes(graph):
            namespace, _, operator = node.kind().partition("::")
            # a call that is left over after inlining is decided while it runs
            if not is_allowed(namespace, operator) or operator.startswith("Call"):
                raise _refused(path, f"{name} calls {node.kind()}")


class _Source(ast.NodeVisitor):
    """One file of source: every name in it is known, and every operator is on the list."""

    def __init__(self, entry: str, path: Path, own: set[str], members: set[str]) -> None:
        self.entry, self.path, self.own, self.members = entry, path, own, members
        self.local: set[str] = set()
        self.inside = False  # of a function
        self.depth = 0

    def fail(self, node: ast.AST, reason: str) -> DataError:
        return _refused(self.path, f"line {getattr(node, 'lineno', '?')} of {self.entry} {reason}")

    def visit(self, node: ast.AST) -> None:
        if type(node) not in _STATEMENTS:
            raise self.fail(node, f"has a statement of the kind {type(node).__name__}")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fail(node, "is nested more deeply than any model")
        super().visit(node)
        self.depth -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [ast.unparse(base) for base in node.bases]
        if (
            self.inside
            or bases not in ([], ["Module"], ["NamedTuple"])
            or node.decorator_list
            or node.keywords
        ):
            raise self.fail(node, f"makes a class of {', '.join(bases) or 'another kind'}")
        for part in node.body:
            if isinstance(part, ast.FunctionDef):
                self.visit(part)
            elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                self.visit(part.annotation)
                if part.value is not None:
                    self.visit(part.value)
            elif isinstance(part, ast.Assign) and (target := _list_of_class(part)):
                if target == "__annotations__":
                    self.visit(part.value)
            elif not isinstance(part, ast.Pass):
                raise self.fail(part, "is no attribute and no method of a class")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if re.fullmatch("__.*__", node.name) and node.name not in _SPECIAL_METHODS:
            raise self.fail(node, f"defines {node.name}, which could run while the file is loaded")
        if node.decorator_list or self.inside:
            raise self.fail(node, "has a decorator, or is within another function")
        stored = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        self.local = {*stored, *(a.arg for a in ast.walk(node) if isinstance(a, ast.arg))}
        self.inside = True
        self.generic_visit(node)
        self.local, self.inside = set(), False

    def visit_Name(self, node: ast.Name) -> None:
        roots = {"torch", "ops", "__torch__", "CONSTANTS", "print", "fork", "open"}
        if node.id in roots or (node.id not in _WORDS and node.id not in self.local):
            raise self.fail(node, f"uses {node.id!r}")

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[1] if len(node.args) == 2 else None
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                raise self.fail(node, "calls getattr with a name that is not written there")
            self._member(node, name.value)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = _dotted(node)
        root = name.partition(".")[0]
        if root == "torch" or root == "ops":
            parts = (
                name.removeprefix("torch.autograd.").removeprefix("torch.").removeprefix("ops.").split(".")
            )
            namespace = "aten" if root == "torch" else parts.pop(0)
            if len(parts) != 1 or not is_allowed(namespace, parts[0]):
                raise self.fail(node, f"calls {name}")
        elif root == "__torch__":
            if name not in self.own and name.rpartition(".")[0] not in self.own:
                raise self.fail(node, f"uses {name}, whose source is not in the file")
        elif root == "CONSTANTS":
            if not re.fullmatch(r"CONSTANTS\.c\d+", name):
                raise self.fail(node, f"uses {name}")
        else:
            self._member(node, node.attr)
            self.visit(node.value)

    def _member(self, node: ast.AST, name: str) -> None:
        """``x.name`` is an attribute or method of a class of the archive, or an operator on x."""
        if name not in self.members:
            raise self.fail(node, f"uses .{name}, which no class in the file has")
        # of a tensor, the same word is torch's operator
        if not is_allowed("aten", name) and torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
            raise self.fail(node, f"uses .{name}, which is also an operator of torch that is not allowed")


def _parsed(text: bytes, name: str, path: Path) -> ast.Module:
    """The source of one entry; plain ASCII without comments, which two languages could read in two ways."""
    try:
        source = text.decode("ascii")
        if "#" in source or ";" in source:  # within a text they mean nothing
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type == tokenize.COMMENT or (token.type == tokenize.OP and token.string == ";"):
                    raise _refused(path, f"line {token.start[0]} of {name} has {token.string[:20]!r}")
        if re.search(r"[^\n\x20-\x7e]|\\\n", source):
            raise _refused(path, f"{name} has characters or broken lines that no export of HINT has")
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise _refused(path, f"{name} cannot be parsed ({type(error).__name__})") from error


def _defined(tree: ast.Module, path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            raise _refused(path, f"line {node.lineno} of its source is outside of classes and functions")
        yield node


def _members(tree: ast.Module) -> Iterator[str]:
    """Attributes and methods of the classes of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield part.name
                elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id
                elif isinstance(part, ast.Assign) and (name := _annotated(part.targets[0])):
                    yield name


def _list_of_class(node: ast.Assign) -> str | None:
    """``__parameters__ = [...]`` or ``__annotations__["0"] = type`` in a class; which."""
    target = node.targets[0]
    if isinstance(target, ast.Name) and target.id in _CLASS_LISTS and isinstance(node.value, ast.List):
        return target.id if all(isinstance(x, ast.Constant) for x in node.value.elts) else None
    return "__annotations__" if _annotated(target) else None


def _annotated(target: ast.expr) -> str | None:
    """Which attribute ``__annotations__["0"]`` is about."""
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value) if ast.unparse(target.value) == "__annotations__" else None
    return None


def _module(entry: str) -> str:
    return entry.removeprefix("code/").removesuffix(".py").replace("/", ".")


def _is_torchs_own(name: str) -> bool:
    """Names for which torch has C++ of its own, whatever the archive says."""
    return name.startswith("__torch__.torch.classes") or ".quantized." in name


def _dotted(node: ast.Attribute) -> str:
    """``a.b.c`` of an attribute of a name; what is computed counts as one word."""
    parts = [node.attr]
    inner: Any = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return ".".join([inner.id if isinstance(inner, ast.Name) else "()", *reversed(parts)])


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _refused(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is refused, and nothing of it was run: {reason}. An artifact computes, and does nothing "
        "else; use only files whose makers you know"
    )
