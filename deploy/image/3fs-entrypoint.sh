#!/bin/sh
# 3fs-entrypoint.sh SERVICE: what a container of the image runs; the work is done by the binary.
exec /opt/3fs/bin/c3fs entrypoint "$@"
