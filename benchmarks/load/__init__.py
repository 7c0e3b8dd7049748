"""Load tests of the guards with real processes and sockets on the loopback interface: `make bench-load`."""
