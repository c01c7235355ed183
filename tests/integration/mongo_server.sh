#!/bin/sh
# Start a server that speaks MongoDB's wire protocol on 127.0.0.1 and a free port, and print its uri once it answers.
#
#   mongo_server.sh VENV     make VENV where it does not exist (nx-27017 needs another pymongo than we do), start
#   mongo_server.sh VENV stop
#
# Its data lie in VENV/data, which a start empties; its number is in VENV/server.pid.
set -eu

venv=${1:?"usage: mongo_server.sh VENV [stop]"}

stop() {
    if [ -f "$venv/server.pid" ]; then
        kill "$(cat "$venv/server.pid")" 2>/dev/null || true
        rm -f "$venv/server.pid"
    fi
}

stop
if [ "${2:-}" = stop ]; then
    exit 0
fi
if [ ! -x "$venv/bin/nx-27017" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "nx-27017>=0.8,<1"
fi
rm -rf "$venv/data"
mkdir -p "$venv/data"
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nohup "$venv/bin/nx-27017" --data-dir "$venv/data" --port "$port" --pid-file "$venv/nx.pid" --log-file "$venv/server.log" \
    >"$venv/server.out" 2>&1 </dev/null &
echo $! >"$venv/server.pid"
uri="mongodb://127.0.0.1:$port/matscout_test"
"$venv/bin/python" - "$uri" <<'PYTHON' || { cat "$venv/server.out" >&2; stop; exit 1; }
import sys
import time

from pymongo import MongoClient
from pymongo.errors import PyMongoError

end = time.monotonic() + 30
while True:
    try:
        with MongoClient(sys.argv[1], serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")
        break
    except PyMongoError as error:
        if time.monotonic() > end:
            sys.exit(f"the server does not answer: {error}")
PYTHON
echo "$uri"
