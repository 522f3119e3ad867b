#!/bin/bash
# call.sh SAMPLE: a stand-in for a variant caller; its result is the number of lanes in the sample
set -euo pipefail
test -s "$SBX_RESULTS/samples/$1.bam"
mkdir -p publish/samples
wc -l < "$SBX_RESULTS/samples/$1.bam" > "publish/samples/$1.g.vcf"
echo "joint,$SBX_RESULTS/samples/$1.g.vcf" >> messages.txt
echo "report,$SBX_RESULTS/samples/$1.stats" >> messages.txt
