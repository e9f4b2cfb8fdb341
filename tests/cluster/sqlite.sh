#!/usr/bin/env bash
# sqlite.sh - databases on the mount, with rollback journals and with write-ahead logs: each
# transaction is there, also after a remount, and the integrity check finds nothing. Long: 10 000
# transactions in each mode.
# test: quick, 240 s
# test: soak, 3600 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool sqlite3

up >/dev/null || fail "up"
databases=(delete-1 delete-2 delete-3 delete-4 wal-1 wal-2 wal-3 wal-4)
count=$([ $is_long = 1 ] && echo 2500 || echo 30) # transactions of each

# transactions NAME: the name begins with the journal mode.
transactions() {
    local i
    echo "PRAGMA journal_mode=${1%-*}; PRAGMA synchronous=FULL;"
    echo "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON t(text);"
    for ((i = 1; i <= count; i++)); do
        echo "BEGIN; INSERT INTO t VALUES($i, 'row $i ' || hex(zeroblob(50)));"
        echo "UPDATE t SET text = text || '+' WHERE id = $((i * 7919 % (i + 1) + 1)); COMMIT;"
    done
}

begin=$SECONDS
pids=()
for name in "${databases[@]}"; do
    transactions "$name" >"$TEST_DIR/$name.sql"
    sqlite3 -bail "$mount/$name.db" <"$TEST_DIR/$name.sql" >"$TEST_DIR/$name.out" 2>&1 &
    pids+=($!)
done
for i in "${!databases[@]}"; do
    name=${databases[$i]}
    wait "${pids[$i]}" || fail "$name: $(cat "$TEST_DIR/$name.out")"
    [ "$(head -n 1 "$TEST_DIR/$name.out")" = "${name%-*}" ] || fail "$name: another journal mode"
done
echo "4 databases of $count transactions in each mode in $((SECONDS - begin)) s"

for again in 0 1; do
    for name in "${databases[@]}"; do
        got=$(sqlite3 "$mount/$name.db" "PRAGMA integrity_check; SELECT count(*), sum(id) FROM t;")
        want=$(printf 'ok\n%d|%d' $count $((count * (count + 1) / 2)))
        [ "$got" = "$want" ] || fail "$name: $got"
    done
    [ $again = 1 ] || remount
done
echo "integrity_check ok for all, now and after a remount"

# A process that is killed in a transaction leaves what was committed, and nothing else.
for name in delete-1 wal-1; do
    (echo "BEGIN; INSERT INTO t SELECT id + $count, 'lost' FROM t;" && sleep 30) |
        sqlite3 "$mount/$name.db" &
    writer=$!
    sleep 0.5
    kill -9 $writer 2>/dev/null || true
    got=$(sqlite3 -cmd ".timeout 10000" "$mount/$name.db" \
        "PRAGMA integrity_check; SELECT count(*) FROM t;")
    [ "$got" = "$(printf 'ok\n%d' $count)" ] || fail "$name after kill -9: $got"
done
echo "both are sound after a writer was killed"
