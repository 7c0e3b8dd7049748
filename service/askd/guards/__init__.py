"""What protects an exchange: one guard a file, none knows HTTP or the metrics library, time is injected."""
