#!/bin/sh
# total.sh BODIES: add up the numbers in the file BODIES, one a line
set -eu
mkdir -p publish
awk '{ total += $1 } END { printf "%d\n", total }' "$1" > publish/total.txt
cat publish/total.txt
