#!/usr/bin/env bash
# Asks about a picture with curl, and shows the answer as it comes: chat.sh PICTURE QUESTION
set -euo pipefail
url=${HEADROOM_URL:-http://127.0.0.1:7720}

# The question goes in as JSON, so that quotes in it stay quotes. The picture stands in a file: it may be longer than a command line.
question=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$2")
body=$(mktemp)
trap 'rm -f "$body"' EXIT
{
  printf '{"stream": true, "temperature": 0, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:;base64,'
  base64 -w 0 "$1"
  printf '"}}, {"type": "text", "text": %s}]}]}' "$question"
} >"$body"
curl -sS --fail-with-body -N -H 'content-type: application/json' -d "@$body" "$url/v1/chat/completions"
