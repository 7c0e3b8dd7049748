"""Guards that protect the answerer, one per module. They know neither HTTP nor metrics; clocks are injected."""
