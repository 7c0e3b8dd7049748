"""What stays compatible: the contract, the settings and the metrics of the last release only grow.

`released.json` is that of the last release; `make contract` writes it anew when a release is made.
"""
