"""The two kinds of failure that reach a user, each one sentence that names the culprit, its value and what is accepted."""


class MlxoptoError(Exception):
    """Base of all errors that the library raises on purpose."""

    exit_code = 1


class Notice(RuntimeWarning):
    """Said once: the work goes on, but not as one might expect."""


class RequestError(MlxoptoError):
    """The request was wrong: a control, a value, a path or a file that cannot be what was asked for."""

    exit_code = 2


class WorkError(MlxoptoError):
    """The request was right and the work failed: a full disk, a training run that diverged."""

    exit_code = 1


class DivergedError(WorkError):
    """Training diverged; the same run will do so again."""
