"""The metrics as a contract: what there is, what it means, and that nobody can make more of it."""
