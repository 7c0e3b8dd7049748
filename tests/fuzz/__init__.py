"""Fuzzing of everything that parses bytes from the network or from files: `make fuzz`."""
