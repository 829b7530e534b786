"""MkDocs hook: fills in the citation from CITATION.cff, and the link to the issues.

`<!-- bibtex -->` becomes an entry for BibTeX. `<!-- issues -->` becomes a link if the site is built for a
forge (`HINT_REPOSITORY` of mkdocs.yml).
"""

import re
from pathlib import Path
from typing import Any

CITATION = Path(__file__).parents[1] / "CITATION.cff"


def bibtex(text: str) -> str:
    """An `@software` entry from the text of a CITATION.cff."""

    def value(key: str) -> str:
        found = re.search(rf"^{key}: *\"?(.*?)\"?$", text, re.M)
        if found is None:
            raise ValueError(f"CITATION.cff has no {key}")
        return found[1]

    year = value("date-released")[:4]
    return "\n".join(
        [
            "```bibtex",
            "@software{hint,",
            "  author  = {{The HINT developers}},",
            f"  title   = {{{{{value('title')}}}}},",
            f"  version = {{{value('version')}}},",
            f"  year    = {{{year}}},",
            f"  license = {{{value('license')}}},",
            "}",
            "```",
        ]
    )


def on_page_markdown(markdown: str, config: Any, **_: object) -> str:
    """Called by MkDocs for each page."""
    if "<!-- bibtex -->" in markdown:
        markdown = markdown.replace("<!-- bibtex -->", bibtex(CITATION.read_text()))
    url = (config.repo_url or "").rstrip("/")
    link = f"[Issues of HINT]({url}/issues)" if url else ""
    return markdown.replace("<!-- issues -->", link)
