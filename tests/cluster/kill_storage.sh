#!/usr/bin/env bash
# kill_storage.sh - storages are killed -9 in turn under a checked load: no wrong byte, no error,
# only pauses; then every chain serves with all its targets again.
# Long: 200 threads for two minutes, a kill every ten seconds.
# test: quick, 240 s
# test: soak, 420 s
. "$(dirname "$0")/lib.sh"
need_fuse

threads=16 seconds=25 pause=6
[ $is_long = 0 ] || threads=200 seconds=120 pause=10
up >/dev/null || fail "up"
python3 "$(dirname "$0")/mixed_load.py" "$mount" $threads $seconds >"$TEST_DIR/load" 2>&1 &
load=$!
victim=1001
while kill -0 $load 2>/dev/null; do
    sleep $pause
    pid=$(child storage-$victim pid)
    kill -0 $load 2>/dev/null || break
    kill -9 "$pid"
    victim=$((victim == 1005 ? 1001 : victim + 1))
done
wait $load || { cat "$TEST_DIR/load"; fail "the load met a wrong byte or an error"; }
cat "$TEST_DIR/load"

wait_until 60 "every chain SERVING after the last kill" all_chains_serve
down
