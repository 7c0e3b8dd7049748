"""Scenarios by name, in the order in which they run."""

from collections.abc import Mapping
from typing import Final

from benchmarks.load.scenario_context import Scenario
from benchmarks.load.scenarios import (
    drain,
    fresh_connections,
    guard_overhead,
    hanging_code,
    hostile_clients,
    identical_requests,
    io_bound_code,
    killed_dependencies,
    malformed_requests,
    many_client_addresses,
    ops_endpoints_under_overload,
    overload,
    slow_clients,
    worker_processes,
)

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "overload": overload.measure,
    "fresh": fresh_connections.measure,
    "waiting": io_bound_code.measure,
    "ops": ops_endpoints_under_overload.measure,
    "drain": drain.measure,
    "hang": hanging_code.measure,
    "processes": worker_processes.measure,
    "killed": killed_dependencies.measure,
    "slow": slow_clients.measure,
    "same": identical_requests.measure,
    "malformed": malformed_requests.measure,
    "hostile": hostile_clients.measure,
    "clients": many_client_addresses.measure,
    "cost": guard_overhead.measure,
}
