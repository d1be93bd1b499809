# download.sh LIST DIRECTORY [HEADER_FILE]: brings every file of LIST, lines of "SHA-256 PATH URL", to DIRECTORY/PATH. A file gets its name only when its
# sum is right, so what has its name is whole; a broken download goes on where it stopped.
set -eu
list=$1 directory=$2 header=${3:-}

sum() { sha256sum "$1" | cut -d ' ' -f 1; }

while read -r wanted path url; do
  target=$directory/$path
  part=$target.part
  if [ -f "$target" ] && [ "$(sum "$target")" = "$wanted" ]; then
    echo "$path: present"
    continue
  fi
  mkdir -p "${target%/*}"
  if ! { [ -f "$part" ] && [ "$(sum "$part")" = "$wanted" ]; }; then
    echo "$path: fetching"
    curl --fail --silent --show-error --location --proto =https --retry 5 --retry-all-errors --connect-timeout 30 \
      ${header:+--header "@$header"} --continue-at - --output "$part" "$url"
  fi
  got=$(sum "$part")
  if [ "$got" != "$wanted" ]; then
    rm -f "$part"
    echo "$path: SHA-256 is $got, wanted $wanted" >&2
    exit 1
  fi
  mv "$part" "$target"
  echo "$path: done"
done <"$list"
