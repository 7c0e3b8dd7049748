"""Generator of docs/reference/settings.md."""
