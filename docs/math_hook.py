"""MkDocs hook: writes the formulas of the pages as MathML, which browsers typeset without a script.

`pymdownx.arithmatex` finds `$...$` and `$$...$$` and hands them on as TeX. The pages hence need nothing from
another server, and they read the same off line. GitHub typesets the same source.
"""

import html
import re

_TEX = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
_REPAIRS = (
    # A bar is no relation: without this, browsers put space around it.
    (
        r'<mo(?: stretchy="false")?>(&#x0007C;|&#x02016;)</mo>',
        r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>',
    ),
    # tr and mean are functions, and browsers put space on both sides of operators.
    (r"<mo>(tr|Tr|mean)</mo>(?!<mo[^>]*>(?:&#x00028;|\())", r'<mi>\1</mi><mspace width="0.17em" />'),
    (r"<mo>(tr|Tr|mean)</mo>", r"<mi>\1</mi>"),
    # Names of widths are gone from MathML Core.
    ("thinmathspace", "0.17em"),
)


def mathml(tex: str, display: str = "inline") -> str:
    """The formula as a `<math>` element that carries its TeX for those who copy it."""
    from latex2mathml.converter import convert

    found = convert(tex, display=display)
    for pattern, instead in _REPAIRS:
        found = re.sub(pattern, instead, found)
    if unknown := re.search(r"\\\w+", found):
        raise ValueError(f"{unknown[0]} is not known")
    return found.replace("<math ", f'<math alttext="{html.escape(tex)}" ', 1)


def typeset(page: str) -> str:
    """HTML with MathML in place of the TeX that arithmatex left. The first formula that fails is an error."""

    def one(match: re.Match[str]) -> str:
        kind, opening, tex = match[1], match[2], html.unescape(match[3]).strip()
        try:
            found = mathml(tex, "block" if opening == "[" else "inline")
        except Exception as error:
            raise ValueError(f"cannot typeset {tex!r}: {error!r}") from error
        return f'<{kind} class="arithmatex">{found}</{kind}>'

    return _TEX.sub(one, page)


def on_page_content(content: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return typeset(content) if 'class="arithmatex"' in content else content
