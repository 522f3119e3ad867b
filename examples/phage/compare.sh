#!/bin/bash
# compare.sh RESULTS: does a run's result equal that of the same tools run by hand on the whole input?
#
# RESULTS is the run's directory, such as results/phage-7f3a.  Compared are the number of mapped
# reads and every record of the VCF, whole.  Exit 0 when all is equal.
set -euo pipefail
results=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
by_hand=$(mktemp -d)
trap 'rm -rf "$by_hand"' EXIT
"$here/by_hand.sh" "$by_hand" > "$by_hand/log" 2>&1 || { cat "$by_hand/log" >&2; exit 1; }
diff "$by_hand/mapped.txt" "$results/mapped.txt"
diff <(grep -v '^#' "$by_hand/variants.vcf") <(grep -v '^#' "$results/variants.vcf")
echo "equal: $(cat "$results/mapped.txt") mapped reads, $(grep -vc '^#' "$results/variants.vcf") variants"
