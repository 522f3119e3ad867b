#!/bin/bash
# call.sh REFERENCE: find where the aligned reads differ from the reference
set -euo pipefail
mkdir -p publish
bcftools mpileup --max-depth 100000 -f "$1.fa" "$SBX_RESULTS/aligned.bam" 2> mpileup.log |
    bcftools call --multiallelic-caller --variants-only -o publish/variants.vcf
bcftools view -H publish/variants.vcf | wc -l
