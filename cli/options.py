"""How options are declared where several commands have the same kind."""

from __future__ import annotations

from typing import Any

import typer


def flag(name: str, help: str, panel: str | None = None, **rest: Any) -> Any:
    """On or off, for `Annotated`; help shows no type beside it."""
    return typer.Option(name, help=help, metavar="", rich_help_panel=panel, **rest)


def option(help: str, panel: str | None, *names: str, **rest: Any) -> Any:
    """An option in a panel of the help text, for `Annotated`."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **rest)
