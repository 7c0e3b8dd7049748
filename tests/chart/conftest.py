"""Skips the chart tests unless Helm is installed and the environment is that of `make test-chart`."""

import importlib.util

from tools.chart.helm import HELM_COMMANDS

CAN_RUN = bool(HELM_COMMANDS) and importlib.util.find_spec("kubernetes_validate") is not None
collect_ignore_glob = [] if CAN_RUN else ["test_*.py"]
