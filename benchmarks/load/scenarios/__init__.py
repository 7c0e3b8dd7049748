"""The scenarios by name, in the order in which they run."""

from collections.abc import Mapping
from typing import Final

from tests.figures.run import Scenario

from . import clients, cost, drain, hang, killed, malformed, ops, overload, same, slow, waiting

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "overload": overload.measure,
    "waiting": waiting.measure,
    "ops": ops.measure,
    "drain": drain.measure,
    "hang": hang.measure,
    "killed": killed.measure,
    "slow": slow.measure,
    "same": same.measure,
    "malformed": malformed.measure,
    "clients": clients.measure,
    "cost": cost.measure,
}
