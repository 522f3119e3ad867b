#!/bin/bash
# summary.sh MEMBERS: how many samples came by which way
set -euo pipefail
mkdir -p publish
for module in process quarantine; do
    echo "$module $(grep -c "\"task\": *\"$module\." "$1" || true)"
done | tee publish/summary.txt
