/* supervisor.h - a cluster on one host: c3fs up, down and status.
 *
 * `up` starts one supervisor process, which outlives the shell. It starts the services as processes
 * of the same binary, restarts what ends, and stops all of them when it is told to. What is on
 * disk:
 *
 *   DIR/cluster.toml          what the first up was asked for
 *   DIR/cluster.key           shared by the services (0600)
 *   DIR/token.txt             of the root user, made by the bootstrap (0600)
 *   DIR/etc/NAME.toml         settings of one service
 *   DIR/log/NAME.log          its output; NAME.log.1 is the one before
 *   DIR/run/supervisor.pid    locked while a supervisor runs
 *   DIR/run/state.toml        what runs now, for status and for the next supervisor
 *   DIR/kv, DIR/storage-N     the data
 *
 * `c3fs join` does the same with one storage of another machine's cluster (join.h).
 *
 * A process manager for real machines: it calls the system directly and never runs on a loop.
 * argv[0] is the command's name; each returns the exit status.
 */
#pragma once

int up_main(int argc, char *const *argv);
int down_main(int argc, char *const *argv);
int status_main(int argc, char *const *argv);
