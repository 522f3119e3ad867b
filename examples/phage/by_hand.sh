#!/bin/bash
# by_hand.sh DIR [REFERENCE READS_1 READS_2]
#
# The same tools on the whole input, without sbx: leaves mapped.txt and variants.vcf in DIR.
set -euo pipefail
examples=/usr/share/doc/bowtie2/examples
reference=${2:-$examples/reference/lambda_virus.fa.gz}
reads_1=${3:-$examples/reads/reads_1.fq.gz}
reads_2=${4:-$examples/reads/reads_2.fq.gz}
mkdir -p "$1"
zcat -f "$reference" > "$1/reference.fa"
zcat -f "$reads_1" > "$1/reads_1.fq"
zcat -f "$reads_2" > "$1/reads_2.fq"
cd "$1"
bowtie2-build --quiet reference.fa reference
bowtie2 -x reference -1 reads_1.fq -2 reads_2.fq | samtools sort -o aligned.bam -
samtools view -c -F 4 aligned.bam > mapped.txt
samtools faidx reference.fa
bcftools mpileup --max-depth 100000 -f reference.fa aligned.bam |
    bcftools call --multiallelic-caller --variants-only -o variants.vcf
