"""The kinds of Code that askd serves, each behind the protocol in `service.models`."""
