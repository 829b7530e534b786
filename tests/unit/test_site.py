"""The pages as a site: formulas, copy buttons, navigation, gallery, API and citation."""

import importlib.util
import re
from pathlib import Path

import gallery
import prose
import pytest

import hint_plugin

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def hook(name):
    """A hook of MkDocs as a module; it lies in docs and not in a package."""
    if name == "api_hook":
        pytest.importorskip("mkdocs", reason="needs MkDocs (docs/dependencies.md)")
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def formulas(page):
    """TeX of the formulas of a page, code left out."""
    text = re.sub(r"^```[\s\S]*?^```|^ {4}.*$|`[^`\n]+`", "", page.read_text(), flags=re.M)
    return [tex.strip() for both in prose.FORMULA.findall(text) for tex in both if tex]


ALL = [(page, tex) for page in PAGES for tex in formulas(page)]


def test_formulas_are_found():
    assert len([tex for page, tex in ALL if page.name == "theory.md"]) > 80
    assert {"rates.md", "qha.md", "sscha.md", "superconductivity.md"} <= {page.name for page, _ in ALL}


def test_every_formula_is_typeset():
    pytest.importorskip("latex2mathml", reason="needs latex2mathml (docs/dependencies.md)")
    math = hook("math_hook")
    for page, tex in ALL:
        found = math.mathml(tex)
        assert found.startswith("<math alttext=") and found.endswith("</math>"), (page.name, tex)


@pytest.mark.parametrize(
    "pattern, why",
    [
        (r"\\[^A-Za-z]", "GitHub's Markdown takes the backslash before a sign away"),
        (r"[})\]|]_", "GitHub's Markdown may read the underscore as emphasis"),
        (r"[*<>]", "Markdown and HTML have another meaning for it: \\ast, \\lt, \\gt"),
    ],
)
def test_github_shows_the_same_formulas(pattern, why):
    found = [f"{page.name}: {tex}" for page, tex in ALL if re.search(pattern, tex)]
    assert not found, f"{why}: {found}"


def test_formulas_of_a_page_become_mathml():
    pytest.importorskip("latex2mathml", reason="needs latex2mathml (docs/dependencies.md)")
    math = hook("math_hook")
    page = math.typeset(
        '<p><span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[|v|^2\\]</div>'
    )
    assert page.count("<math ") == 2 and 'display="block"' in page and "\\(" not in page
    assert 'lspace="0" rspace="0">&#x0007C;' in page
    with pytest.raises(ValueError, match="cannot typeset"):
        math.typeset('<span class="arithmatex">\\(\\frac{a}{b} \\nosuch\\)</span>')


HERE = "cat > a.in <<'EOF'\nunits metal\n\nEOF\nlmp -in a.in"
TABLE = "┏━━┓\n┃ 1┃\n┗━━┛"


@pytest.mark.parametrize(
    "shown, language, copied",
    [
        (
            "$ hint label a.xyz -o b.xyz\n60 of 60 frames\n$ hint doctor",
            "",
            "hint label a.xyz -o b.xyz\nhint doctor",
        ),
        ("hint tc a2F.dos4\n\nlambda 0.4\n\nTc, K", "", "hint tc a2F.dos4"),
        ("hint tc a2F.dos4       QE, Elk: recognised", "", "hint tc a2F.dos4"),
        ("hint label a \\\n    --jobs 2\ndone", "", "hint label a \\\n    --jobs 2"),
        (
            "cat > a.in <<'EOF'\nunits metal\n\nEOF\nlmp -in a.in\nLAMMPS",
            "",
            "cat > a.in <<'EOF'\nunits metal\n\nEOF\nlmp -in a.in",
        ),
        ("PYTHONPATH=. hint qha cu.cif", "", "PYTHONPATH=. hint qha cu.cif"),
        ("MPI='mpirun -n 16' dft/run.sh", "", "MPI='mpirun -n 16' dft/run.sh"),
        (".venv/bin/python a.py\n| a | b |", "console", ".venv/bin/python a.py"),
        ("error: no such file", "", ""),
        (TABLE, "", ""),
        ("import ase\nprint(ase)", "python", "import ase\nprint(ase)"),
        (">>> 1 + 1\n2\n>>> x = [\n...     1]", "python", "1 + 1\nx = [\n    1]"),
        ("units metal\npair_style hint", "", "units metal\npair_style hint"),
        ("export | labelling | sampling", "", "export | labelling | sampling"),
    ],
)
def test_copy_buttons_copy_commands(shown, language, copied):
    assert hook("copy_hook").copied(shown, language) == copied


def test_copied_text_stands_on_the_page():
    copy = hook("copy_hook")
    plain = '<div class="highlight"><pre><span></span><code>hint doctor\n</code></pre></div>'
    assert copy.mark(plain) == plain
    page = copy.mark(plain.replace("doctor", "label a &gt; &quot;b&quot;\nsaid <b>so</b>"))
    assert '<div class="highlight" data-copy="hint label a &gt; &quot;b&quot;">' in page
    assert '<div class="highlight no-copy">' in copy.mark(plain.replace("hint doctor", "error: no model"))


def test_nothing_that_a_program_printed_is_copied():
    """No block with prompts keeps a line without one; every `hint` line is copied."""
    copy = hook("copy_hook")
    for page in PAGES:
        for block in re.findall(r"(?<=\n\n)(?: {4}.*\n)+", page.read_text()):
            lines = [line[4:] for line in block.splitlines()]
            got = copy.copied("\n".join(lines)).splitlines()
            if any(line.startswith("$ ") for line in lines):
                assert got and not any(line.startswith("$ ") for line in got), (page.name, lines[0])
            for line in lines:
                if line.startswith("hint "):
                    assert any(line.startswith(one) for one in got if one), (page.name, line)


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    named = re.findall(r"([\w/-]+\.md)", text.split("\nnav:\n")[1].split("\nmarkdown_extensions:")[0])
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def test_gallery_shows_every_figure():
    assert {one.name for one in gallery.figures()} == {path.name for path in (DOCS / "img").iterdir()}
    assert (DOCS / "gallery.md").read_text() == gallery.text(), "run python tests/tools/gallery.py --write"


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda docs: (docs / "img/new.png").touch(), "new.png has no command"),
        (lambda docs: (docs / "page.md").write_text("# Page\n"), "a.png is on no page"),
        (lambda docs: (docs / "img/a.png").unlink(), "a.png is in docs/gallery.json"),
    ],
)
def test_a_figure_without_page_or_command_is_an_error(tmp_path, change, said):
    docs = tmp_path / "docs"
    (docs / "img").mkdir(parents=True)
    (docs / "img/a.png").touch()
    (docs / "gallery.json").write_text('{"a.png": "make a"}')
    (docs / "page.md").write_text("# Page\n\n![words](img/a.png)\n")
    (tmp_path / "README.md").touch()
    assert "![words](img/a.png)" in gallery.text(tmp_path) and "    make a" in gallery.text(tmp_path)
    change(docs)
    with pytest.raises(SystemExit, match=said):
        gallery.text(tmp_path)


def test_commands_of_figures_exist():
    """Scripts and targets of `make`; the options of `hint` are checked with those of all pages."""
    makefile = (ROOT / "Makefile").read_text()
    for one in gallery.figures():
        words = one.command.split()
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.M), one
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), one
        else:
            assert "hint" in words or one.command == gallery.BY_HAND, one
        shows = one.page.read_text() + (DOCS / "reproducibility.md").read_text()
        assert one.command == gallery.BY_HAND or one.command in " ".join(shows.replace("\\\n", "").split()), (
            one
        )


def test_every_public_module_has_a_place_in_the_api():
    api = hook("api_hook")
    listed = [module for modules in api.pages().values() for module in modules]
    public = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "hint_plugin").rglob("*.py")
        if not any(part.startswith("_") and part != "__init__.py" for part in path.parts)
    }
    hidden = {name for name in public if name.startswith(tuple(api.HIDDEN))}
    assert len(listed) == len(set(listed)) and set(listed) == public - hidden
    assert all(api.summary(name) for name in api.pages())
    assert "`hint_plugin.data.labels`](api/data.labels.md)" in api.table()


def test_citation_is_that_of_the_file():
    cite = hook("cite_hook")
    text = cite.CITATION.read_text()
    entry = cite.bibtex(text)
    assert f"version = {{{hint_plugin.__version__}}}" in entry and "year    = {2026}" in entry
    with pytest.raises(ValueError, match="has no version"):
        cite.bibtex(text.replace("version:", "number:"))
    for url, said in ((None, ""), ("https://forge.example/hint/", "(https://forge.example/hint/issues)")):
        page = cite.on_page_markdown("<!-- issues -->", config=type("Config", (), {"repo_url": url}))
        assert said in page and "<!--" not in page


def test_nobody_is_sent_to_an_index_of_packages():
    """HINT is on none: pages and messages name the command that works in a clone."""
    sources = [
        path for top in ("hint_plugin", "lammps_pair", "ipi_driver") for path in (ROOT / top).rglob("*.py")
    ]
    for path in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sources):
        assert not re.search(r"install [^\n]*hint-mlip", path.read_text()), path.relative_to(ROOT)
