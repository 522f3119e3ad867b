#!/bin/sh
# scatter.sh LIMIT STEP: one message `from to` for each STEP numbers below LIMIT
set -eu
awk -v limit="$1" -v step="$2" 'BEGIN {
    for (from = 0; from < limit; from += step) {
        to = from + step
        printf "%d %d\n", from, to < limit ? to : limit
    }
}' > messages.txt
