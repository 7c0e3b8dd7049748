"""The kinds of answerers that askd serves, each behind the protocol `askd.models.Answerer`."""
