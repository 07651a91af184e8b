#!/bin/sh
# Starts the lag prober as it is meant to run, for a unit, an image, the tests and the bench alike:
#   prober.sh --config prober.yaml
#
# V8 otherwise lets garbage grow to several times what is kept. Of a prober of 500 clusters, beside one without
# `--optimize-for-size`, in the same minutes: 100 MB resident instead of 112, and the same processor time.
#
# The C library otherwise keeps memory of its own for each of V8's threads, which use it only while they compile: of a prober of
# a thousand clusters, after eleven minutes beside one without, 121 MB at most instead of 134.
#
# CONTINUUM_NODE       Node 24 or newer (default: node).
# CONTINUUM_HEAP_MB    more than 128 for more than some two thousand clusters.
# NODE_COMPILE_CACHE   a folder it may write to: from the second start on it loads no compiler, which takes 15 MB. In an image,
#                      start it once when the image is built: `prober.sh --config /dev/null || true`.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
export MALLOC_ARENA_MAX=1
exec "${CONTINUUM_NODE:-node}" --max-old-space-size="${CONTINUUM_HEAP_MB:-128}" --max-semi-space-size=2 --optimize-for-size \
  "$here/src/main.ts" "$@"
