#!/usr/bin/env bash
# bad_usage.sh - what is unknown or malformed is named in one line, with what was meant.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"

# refused STATUS TEXT COMMAND...: it ends with the status and says TEXT in one line.
refused() {
    local status=$1 text=$2 got=0
    shift 2
    "$@" >"$TEST_DIR/out" 2>"$TEST_DIR/err" </dev/null || got=$?
    [ $got = "$status" ] || fail "$*: exit status $got, not $status: $(cat "$TEST_DIR/err")"
    [ "$(wc -l <"$TEST_DIR/err")" = 1 ] || fail "$*: not one line: $(cat "$TEST_DIR/err")"
    grep -qF -- "$text" "$TEST_DIR/err" || fail "$*: '$text' is not in: $(cat "$TEST_DIR/err")"
}

refused 2 "unknown command 'storge'; did you mean 'storage'?" "$C3FS" storge
refused 2 "unknown variable C3FS_NODEID; did you mean C3FS_NODE_ID" env C3FS_NODEID=1 "$C3FS" status
for role in mgmtd meta storage fuse bootstrap; do
    refused 2 "unknown option '--chekc'; did you mean '--check'?" "$C3FS" $role --chekc
    refused 2 "unknown key 'cluster_di'; did you mean 'cluster_id'?" \
        "$C3FS" $role --config.cluster_di=x
    refused 2 "did you mean 'log.level'?" "$C3FS" $role --config.log.levl=info
    refused 2 "'loud' is not debug, info, warn or error" "$C3FS" $role --config.log.level=loud
    refused 2 "/nowhere: No such file or directory" "$C3FS" $role --cfg /nowhere
    refused 2 "needs a file" "$C3FS" $role --cfg
    printf 'cluster_id = "x"\n[log]\nlevle = "info"\n' >"$TEST_DIR/cfg"
    refused 2 "line 3, column 1: unknown key 'log.levle'; did you mean 'log.level'?" \
        "$C3FS" $role --cfg "$TEST_DIR/cfg"
    printf 'cluster_id = \n' >"$TEST_DIR/cfg"
    refused 2 "line 1, column 14: a value is expected here" "$C3FS" $role --cfg "$TEST_DIR/cfg"
    "$C3FS" $role --print-config >"$TEST_DIR/cfg" || fail "$role --print-config"
    "$C3FS" $role --cfg "$TEST_DIR/cfg" --check >/dev/null || fail "$role refuses what it printed"
done
refused 2 "key 'node_id': 'x' is not a whole number" env C3FS_NODE_ID=x "$C3FS" storage
for command in up down status; do
    refused 2 "unknown option '--dri'; did you mean '--dir'?" "$C3FS" $command --dri /tmp
done
refused 2 "3 replicas need as many storages" up --storages 2
refused 2 "out/x/cluster.toml: Not a directory" "$C3FS" up --no-mount --dir "$TEST_DIR/out/x"
ln -s "$C3FS" "$TEST_DIR/storage_main"
"$TEST_DIR/storage_main" --print-config | grep -q target_paths || fail "storage_main is not storage"
