"""Further formats of a request to an answerer: the Model Context Protocol, and OpenAI's chat completions.

A format parses its requests into the question of `api/question_parser.py`, passes it to the pipeline of `/ask`, and
renders answers, streams and problems in its own shape. Everything around it is the same: routes, admission, limits,
metrics, log and traces.
"""
