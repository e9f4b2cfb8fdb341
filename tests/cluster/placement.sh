#!/usr/bin/env bash
# placement.sh - an operator's way from nothing to a mounted table: data_placement, gen_chain_table,
# and the files they write, given to the admin tool as they are.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"
cd "$TEST_DIR"
ln -s "$C3FS" data_placement
ln -s "$C3FS" gen_chain_table
matrix=output/DataPlacementModel-v_5-b_10-r_6-k_3-λ_2-lb_1-ub_1

./data_placement -ql -relax -type CR --num_nodes 5 --replication_factor 3 --min_targets_per_disk 6 \
    >placed || fail "data_placement"
grep -qx "saved solution to: $matrix" placed || fail "another directory: $(cat placed)"
./data_placement --verify "$matrix/incidence_matrix.pickle" >verified || fail "verify"
grep -q "every disk in 6 groups, head of 2 to 2" verified || fail "not even: $(cat verified)"
grep -q "pairs meet 3 to 3 times" verified || fail "not balanced: $(cat verified)"
sed 's/^3: .*/3: 1 2 3/' "$matrix/incidence_matrix.pickle" >other
./data_placement --verify other >/dev/null 2>err && fail "a matrix with unequal loads was taken"
grep -q "where each should be in 6" err || fail "the verdict: $(cat err)"

./gen_chain_table --chain_table_type CR --node_id_begin 1001 --node_id_end 1005 \
    --num_disks_per_node 1 --num_targets_per_disk 6 --target_id_prefix 1 --chain_id_prefix 9 \
    --incidence_matrix_path "$matrix/incidence_matrix.pickle" >made || fail "gen_chain_table"
[ "$(wc -l <output/create_target_cmd.txt)" = 30 ] || fail "not 30 targets"
[ "$(wc -l <output/generated_chains.csv)" = 11 ] || fail "not 10 chains"

# The cluster of `up` has such a table already: these are new disks' worth of targets and chains.
up --no-mount >/dev/null || fail "up"
sed 's/target-id 1001/target-id 2001/; s/chain-id 9001/chain-id 8001/' \
    output/create_target_cmd.txt >create
sed 's/,1001/,2001/g; s/^9001/8001/' output/generated_chains.csv >chains
sed 's/^9001/8001/' output/generated_chain_table.csv >table
"$C3FS" admin -cfg "$cluster/etc/admin_cli.toml" <create >created || fail "create-target"
[ "$(grep -c "^Create target .* succeeded$" created)" = 30 ] || fail "$(cat created)"
admin_text() { "$C3FS" admin -cfg "$cluster/etc/admin_cli.toml" "$@"; }
admin_text "upload-chains chains" | grep -qx "Upload 10 chains succeeded" || fail "upload-chains"
admin_text "upload-chain-table --desc stage 2 table" |
    grep -qx "Upload ChainTableId(2) of ChainTableVersion(1) succeeded" || fail "upload-chain-table"
all_of_table_2_serve() {
    admin "list-chains -t 2" | python3 -c '
import json, sys
chains = json.load(sys.stdin)
text = json.dumps(chains)
sys.exit(0 if len(chains) == 10 and text.count("SERVING-") >= 30 else 1)'
}
wait_until 30 "the chains of the new table serve" all_of_table_2_serve
down

# What people try first, and what is wrong.
./data_placement -type CR -v 1 >/dev/null 2>err || fail "one node"
grep -q "warning: 1 node can keep 1 replica" err || fail "no warning: $(cat err)"
./data_placement -type CR -v 2 >/dev/null 2>err || fail "two nodes"
grep -q "warning: 2 nodes can keep 2 replicas" err || fail "no warning: $(cat err)"
refused() {
    local words=$1 wanted=$2 status=0
    shift 2
    "$@" >/dev/null 2>err || status=$?
    [ $status = "$wanted" ] || fail "$*: exit status $status, not $wanted"
    grep -qF -- "$words" err || fail "$*: $(cat err)"
}
refused "did you mean '--num_nodes'" 2 ./data_placement -type CR --num_node 5
refused "must be CR or EC, not 'XR'" 1 ./data_placement -type XR -v 5
refused "--num_nodes must be from 1 to 1000" 1 ./data_placement -type CR -v 2000
refused "-relax widens the bounds" 1 ./data_placement -type CR -v 5 -min_r 6
refused "make 10 groups" 1 ./data_placement -type CR -v 5 -r 6 -b 11
refused "No such file" 1 ./data_placement --verify nothing
refused "its first line is not" 1 ./data_placement --verify err
