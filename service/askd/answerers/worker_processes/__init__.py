"""User code in worker processes: the server stays one process, and the code of a function or a graph runs in others.

    server   answerer.py ── pool.py ── worker.py ──┐  cache, single flight, limits, metrics and access log stay here
                                                   │  a socket pair per worker: messages.py
    worker   runtime.py ── the usual answerer ─────┘  loads the code, runs its hooks, one question at a time

Sync code in a thread cannot be stopped, slows the event loop through the interpreter's lock, and takes the server with
it if native code crashes. A process can be killed, and the next one takes its place.

None of the libraries for this fits, because a call must be able to stream, to be cancelled without its neighbours, and
to run async code with context variables (checked in November 2026):

* `loky` and `concurrent.futures`: a call that runs cannot be cancelled, and a worker that dies breaks the whole pool.
* `pebble`: kills and replaces the worker of one call, but a call returns one value.
* `anyio.to_process`: kills the worker of a cancelled call, but runs only sync functions, and returns one value.
* `aiomultiprocess`: runs coroutines, but can neither cancel a running one nor stream, and is no longer developed.
* `concurrent.interpreters`: Python 3.14 only; a crash still ends the process, and many extension modules do not load.

So there is a small pool here. A worker is a new interpreter (start method *spawn*): forking a server that has threads
may copy a locked lock. The server never runs or unpickles the user's types: what workers send is MessagePack.
"""
