#!/bin/bash
# quarantine.sh SAMPLE REASON: put a sample aside and say why
set -euo pipefail
mkdir -p publish/quarantine
echo "$2" > "publish/quarantine/$1"
echo "$2" > custom-out.txt            # kept in the report, column user_text
