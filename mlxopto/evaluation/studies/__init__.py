"""The paper's questions, asked again with intervals and tests, one study a file.

Each writes a report and pictures and can be resumed.
"""

from collections.abc import Callable
from typing import Any

from mlxopto.evaluation.studies import density, latency, networks, settings, units
from mlxopto.evaluation.studies.runs import REPORT, Study

__all__ = ["DATA", "REPORT", "STUDIES", "TRAINING", "Study"]

STUDIES: dict[str, Callable[[Study], dict[str, Any]]] = {
    module.NAME: module.study for module in (networks, density, settings, units, latency)
}
DATA: dict[str, tuple[str, ...]] = {module.NAME: module.DATA for module in (networks, density, units)}  # what they train on
TRAINING = tuple(DATA)
