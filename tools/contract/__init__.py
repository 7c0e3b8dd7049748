"""Backward compatibility: the API, the settings and the metrics of the last release may only grow.

`tests/contract/released.json` records the last release; `make contract` replaces it when a release is made.
"""
