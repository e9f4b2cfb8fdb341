#!/usr/bin/env bash
# sqlite.sh - a database on the mount, with a rollback journal and with a write-ahead log: each
# transaction is there, also after a remount, and the integrity check finds nothing.
# test: quick, 240 s
# test: soak, 3600 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool sqlite3

up >/dev/null || fail "up"
count=$([ $is_long = 1 ] && echo 10000 || echo 100)
for mode in delete wal; do
    db=$mount/$mode.db
    {
        echo "PRAGMA journal_mode=$mode; PRAGMA synchronous=FULL;"
        echo "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON t(text);"
        for ((i = 1; i <= count; i++)); do
            echo "BEGIN; INSERT INTO t VALUES($i, 'row $i ' || hex(zeroblob(50)));"
            echo "UPDATE t SET text = text || '+' WHERE id = $((i * 7919 % i + 1)); COMMIT;"
        done
    } >"$TEST_DIR/sql"
    begin=$SECONDS
    sqlite3 -bail "$db" <"$TEST_DIR/sql" >"$TEST_DIR/out" || fail "$mode: $(cat "$TEST_DIR/out")"
    [ "$(head -n 1 "$TEST_DIR/out")" = $mode ] || fail "no mode $mode: $(cat "$TEST_DIR/out")"
    echo "$mode: $count transactions in $((SECONDS - begin)) s"
done

for mode in delete wal; do
    [ $mode = wal ] || remount
    got=$(sqlite3 "$mount/$mode.db" "PRAGMA integrity_check; SELECT count(*), sum(id) FROM t;")
    want=$(printf 'ok\n%d|%d' $count $((count * (count + 1) / 2)))
    [ "$got" = "$want" ] || fail "$mode: $got"
    echo "$mode: integrity_check ok"
done

# A process that is killed in a transaction leaves what was committed, and nothing else.
for mode in delete wal; do
    (echo "BEGIN; INSERT INTO t SELECT id + $count, 'lost' FROM t;" && sleep 30) |
        sqlite3 "$mount/$mode.db" &
    writer=$!
    sleep 0.5
    kill -9 $writer 2>/dev/null || true
    got=$(sqlite3 -cmd ".timeout 10000" "$mount/$mode.db" \
        "PRAGMA integrity_check; SELECT count(*) FROM t;")
    [ "$got" = "$(printf 'ok\n%d' $count)" ] || fail "$mode after kill -9: $got"
done
echo "both are sound after a writer was killed"
