#!/bin/bash
# qc.sh NAME=SCORE MINIMUM: choose the module that the sample goes to, with the reason as a header
set -euo pipefail
score=${1#*=}
if ! [[ $score =~ ^[0-9]+$ ]]; then
    echo "quarantine,$1,{\"reason\": \"no score\"}"
elif ((score < $2)); then
    echo "quarantine,$1,{\"reason\": \"score $score below $2\"}"
else
    echo "process,$1"
fi > messages.txt
