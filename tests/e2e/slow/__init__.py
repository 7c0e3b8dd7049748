"""What a cloud does to a server, done to askd on a real control plane, under load, with figures: `make proof`."""
