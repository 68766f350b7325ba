"""Words of others, from files and command lines, made fit to be shown: on one line, short, without control characters."""

from __future__ import annotations

LONGEST_QUOTE, LONGEST_SENTENCE = 40, 200  # characters


def shown(text: str) -> str:
    """The text on one line: control characters, and what no terminal can show, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def quoted(value: object) -> str:
    """A value as it was given, at most `LONGEST_QUOTE` characters of it."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST_QUOTE:  # whose decimals take long, or are refused by Python
        return "a huge number"
    text = shown(repr(value[: LONGEST_QUOTE + 1] if isinstance(value, str | bytes | list) else value))
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 4]} ..."


def sentence(text: str) -> str:
    """The text on one line of at most `LONGEST_SENTENCE` characters; its middle goes, because culprit and advice stand at the
    ends.
    """
    text = shown(text)
    if len(text) <= LONGEST_SENTENCE:
        return text
    end = LONGEST_SENTENCE // 3
    return f"{text[: LONGEST_SENTENCE - end - 5].rstrip()} ... {text[-end:].lstrip()}"
