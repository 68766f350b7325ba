"""The app: its commands, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import errno
import functools
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from mlxopto import __version__
from mlxopto.errors import MlxoptoError, Notice, RequestError, UnusableError, WorkError
from mlxopto.text import sentence

from . import (
    bench,
    capture,
    capture_init,
    capture_plan,
    data,
    devices,
    eval,
    import_checkpoint,
    live,
    match,
    measure,
    models,
    render,
    study,
    train,
)
from .display import patience
from .options import flag

MARKUP: Any = "markdown"  # in help texts; it leaves [default: ...] alone

app = typer.Typer(
    name="mlxopto",
    help="Learns an optical compressor from recordings, and then is that compressor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"mlxopto {__version__}")
        raise typer.Exit


@app.callback(help=app.info.help)
def _options(
    version: Annotated[bool, flag("--version", callback=_tell_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """What stands before a command."""


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Ctrl-C and SIGTERM as an error of ours: Typer would end with an exit code of its own."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            with patience():
                command(*args, **options)
        except KeyboardInterrupt:
            raise WorkError("interrupted") from None

    return run


for command in (
    render.render,
    live.live,
    match.match,
    devices.devices,
    train.train,
    models.models,
    measure.measure,
    bench.bench,
    study.study,
):
    app.command(command.__name__)(_interruptible(command))


app.command("eval")(_interruptible(eval.evaluate))
app.command("import")(_interruptible(import_checkpoint.import_checkpoint))

recordings = typer.Typer(no_args_is_help=True, help="Recordings to train on.", rich_markup_mode=MARKUP)
recordings.command("check")(_interruptible(data.check))
app.add_typer(recordings, name="data")


captures = typer.Typer(invoke_without_command=True, rich_markup_mode=MARKUP)
captures.callback(help=capture.capture.__doc__)(_interruptible(capture.capture))
captures.command("init")(_interruptible(capture_init.init))
captures.command("plan")(_interruptible(capture_plan.plan))
app.add_typer(captures, name="capture")


def main() -> None:
    """Entry point of the console script: exit code 0 done, 1 the work failed, 2 the request was wrong."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
    _mend_environment()
    try:
        if "" in sys.argv[1:]:
            raise RequestError("an argument is empty; leave it out, or give it a value")
        code = app(standalone_mode=False)
    except MlxoptoError as error:
        if isinstance(error, UnusableError) and len(error.problems) > 1:  # a line each, as `data check` has them
            for problem in error.problems:
                print(sentence(problem), file=sys.stderr)
            _end(f"mlxopto: {error.what} cannot be used: {len(error.problems)} problems", error.exit_code)
        _end(f"mlxopto: {error}", error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _end(
            f"mlxopto: {error.filename or 'the system'}: {error.strerror or error}",
            2 if error.errno == errno.ENAMETOOLONG else 1,
        )
    except typer.Abort:
        _end("mlxopto: interrupted", 1)
    except MemoryError:
        _end("mlxopto: this takes more memory than there is", 1)
    except Exception as error:
        _end_usage(error)
    sys.exit(code if isinstance(code, int) else 0)


def _end_usage(error: Any) -> NoReturn:
    """An option that does not exist, or a value that is none, as Typer found it; other errors go on."""
    if not hasattr(error, "format_message"):
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.ctx.get_help(), file=sys.stderr)
        sys.exit(2)
    _end(f"mlxopto: {error.format_message()}", 2)


def _mend_environment() -> None:
    """What would end a command before it begins, or garble what it prints, though it is no business of ours."""
    for number in range(3):
        try:
            os.fstat(number)
        except (
            OSError
        ):  # or the first file opened would get that number, which MLX takes for a failure, and print() for the terminal
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(1, "w"), sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any bytes
    os.environ["MPLBACKEND"] = "Agg"  # Jupyter asks for one that only Jupyter has
    for name in ("COLUMNS", "LINES", "NUMBA_NUM_THREADS"):
        if not re.fullmatch("[1-9][0-9]{0,4}", os.environ.get(name, "1")):
            del os.environ[name]
    if os.environ.pop("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        print("mlxopto: NUMBA_DISABLE_JIT is not followed: the engine is native code", file=sys.stderr)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _show_warning(other: Callable[..., None], message: Any, category: type[Warning], *rest: Any) -> None:
    """A notice of ours as a sentence; others as Python shows them."""
    if issubclass(category, Notice):
        print(f"mlxopto: {sentence(str(message))}", file=sys.stderr)
    else:
        other(message, category, *rest)


def _end(message: str, code: int) -> NoReturn:
    print(sentence(message), file=sys.stderr)
    sys.exit(code)
