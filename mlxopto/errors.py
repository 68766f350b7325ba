"""The two kinds of failure that reach a user, each one sentence that names the culprit, its value and what is accepted."""

from __future__ import annotations

from collections.abc import Sequence


class MlxoptoError(Exception):
    """Base of all errors that the library raises on purpose."""

    exit_code = 1


class Notice(RuntimeWarning):
    """Said once: the work goes on, but not as one might expect."""


class RequestError(MlxoptoError):
    """The request was wrong: a control, a value, a path or a file that cannot be what was asked for."""

    exit_code = 2


class UnusableError(RequestError):
    """Recordings that cannot be used, with everything that is wrong with them."""

    def __init__(self, what: str, problems: Sequence[str]):
        self.what, self.problems = what, list(dict.fromkeys(problems))
        super().__init__(f"{what} cannot be used: {'; '.join(self.problems)}")


class WorkError(MlxoptoError):
    """The request was right and the work failed: a full disk, a training run that diverged."""

    exit_code = 1


class DivergedError(WorkError):
    """Training diverged; the same run will do so again."""
