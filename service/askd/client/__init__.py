"""The client: `askd ask` and `askd explain`. It asks a server as anybody would, and says at which step it failed."""
