#!/bin/bash
# doubted_sessions.sh - who gives up waiting for a creation, or for an open to write, leaves no
# session at meta: what was executed after all is closed, so that the file is collected when it is
# removed, long before the mount ends.
# test: quick, 30 s
. "$(dirname "$0")/lib.sh"

is_collected() {
    ! admin gc-list | grep -q "\"$1\""
}

answers_are_lost() {
    for node in 101 102; do
        admin "fault -n $node add meta.operation.committed fail --error 2013" >/dev/null
    done
}

answers_come_again() {
    for node in 101 102; do
        admin "fault -n $node clear meta.operation.committed" >/dev/null
    done
}

C3FS_FAULT_INJECTION=true up --timeout 2s
echo here >"$mount/old"

answers_are_lost
sh -c "echo never >$mount/new" 2>"$TEST_DIR/new" &
sh -c "echo never >>$mount/old" 2>"$TEST_DIR/old" &
wait
for name in new old; do
    grep -q "Input/output error" "$TEST_DIR/$name" || fail "$name: $(cat "$TEST_DIR/$name")"
done
answers_come_again

wait_until 10 "the creation is seen, which was executed" test -e "$mount/new"
[ "$(cat "$mount/old")" = here ] || fail "old has other content"
echo there >"$mount/old"
rm "$mount/new" "$mount/old"
wait_until 15 "new is collected" is_collected new
wait_until 15 "old is collected" is_collected old
printf 'what two callers had given up was closed and collected\n'
