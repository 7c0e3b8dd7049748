#!/usr/bin/env bash
# Two replicas that share one rate limit in Redis: `docs/examples/redis/serve.sh`.
# Needs redis-server (Debian: apt-get install redis-server) and pip install "askd[redis]". Then:
#
#   for port in 2024 2025 2024 2025; do curl "localhost:$port/ask?q=Ada"; done       # the fourth is a 429
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REDIS_PORT=${REDIS_PORT:-6380} FIRST_PORT=${FIRST_PORT:-2024} SECOND_PORT=${SECOND_PORT:-2025}

trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' &
export ASKD_REDIS_URL=redis://127.0.0.1:$REDIS_PORT/0 ASKD_RATE_LIMIT=3/m
askd serve "$here/../function/main.py" --port "$FIRST_PORT" &
askd serve "$here/../function/main.py" --port "$SECOND_PORT" &
wait
