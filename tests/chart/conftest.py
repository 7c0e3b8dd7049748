"""The chart's tests run where Helm is, in the environment that `make test-chart` makes."""

import importlib.util

from tests.chart.render import HELMS

ABLE = bool(HELMS) and importlib.util.find_spec("kubernetes_validate") is not None
collect_ignore_glob = [] if ABLE else ["test_*.py"]
