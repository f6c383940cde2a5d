"""Names of methods and tasks as text of which Markdown and LaTeX make nothing but text."""

from __future__ import annotations

import unicodedata

from cwbench.records.schema import BRIEF, brief

MARKDOWN = {c: f"\\{c}" for c in "\\`*_{}[]<>#|~$&!"} | {"\n": " "}
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\n": " ",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
}  # fmt: skip


ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"
LATIN = "ßøØæÆœŒłŁ§£"
"""With accented letters what pdfLaTeX sets without a package."""

GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
    *("mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)


def markdown_text(text: str, most: int = BRIEF) -> str:
    """Text of which Markdown makes nothing but text, at most so many characters."""
    return "".join(MARKDOWN.get(character, character) for character in brief(text, most))


def latex_text(text: str, most: int = BRIEF) -> str:
    """Text that any LaTeX sets: names keep their letters, Greek ones as mathematics.

    Those that pdfLaTeX has no font for are a question mark there alone; what is not printable, and
    would stop LaTeX, is left out.
    """
    return "".join(LATEX.get(c) or _latex_letter(c) for c in brief(text, most) if c.isprintable())


def _latex_letter(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    accented = len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS
    if letter.isascii() or accented or letter in LATIN:
        return letter
    name = unicodedata.name(letter, "").removeprefix("GREEK SMALL LETTER ").lower()
    if name in GREEK:
        return f"$\\{name}$"
    return f"\\ifdefined\\Umathcode {letter}\\else ?\\fi{{}}"
