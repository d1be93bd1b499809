# download.sh LIST DIRECTORY [HEADER_FILE]: brings every file of LIST, lines of "SHA-256 PATH URL", to DIRECTORY/PATH. A file gets its name only when its
# sum is right, so what has its name is whole; a broken download goes on where it stopped.
set -eu
list=$1 directory=$2 header=${3:-}

sum() { sha256sum "$1" | cut -d ' ' -f 1; }

# fetch URL PART: not with curl's own --retry, which begins again at 0.
fetch() {
  wait=1
  while :; do
    status=0
    curl --fail --silent --show-error --location --proto =https --connect-timeout 30 --speed-limit 1000 --speed-time 60 \
      ${header:+--header "@$header"} --continue-at - --output "$2" "$1" || status=$?
    [ $status -eq 0 ] && return
    # 22: an HTTP error; 33 and 36: a server that cannot go on where we stopped. What is there may be of no use.
    case $status in 22 | 33 | 36) rm -f "$2" ;; esac
    [ $wait -le 4 ] || return $status
    sleep $wait
    wait=$((wait * 2))
  done
}

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
    fetch "$url" "$part"
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
