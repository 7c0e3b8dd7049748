#!/usr/bin/env bash
# Serves a function by HTTPS to clients with a token: `docs/examples/tokens_and_tls/serve.sh`. Needs openssl.
# The files are made in the folder that FOLDER names, by default a temporary one. Then, with the lines that it prints:
#
#   curl --cacert $FOLDER/tls.crt -H "Authorization: Bearer $(cat $FOLDER/alice.token)" 'https://localhost:2024/ask?q=Ada'
#   curl --cacert $FOLDER/tls.crt 'https://localhost:2024/ask?q=Ada'       # 401
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FOLDER=${FOLDER:-$(mktemp -d)}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$FOLDER/tls.key" -out "$FOLDER/tls.crt" 2>/dev/null
askd token alice >"$FOLDER/tokens" 2>"$FOLDER/alice.token" # the file has only a hash of the token
echo "FOLDER=$FOLDER"
exec askd serve "$here/../function/main.py" --tokens-file "$FOLDER/tokens" \
  --tls-cert "$FOLDER/tls.crt" --tls-key "$FOLDER/tls.key"
