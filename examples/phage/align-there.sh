#!/bin/bash
# align-there.sh REFERENCE PIECE: what align.sh does, where both were staged; the paths are those at home
set -euo pipefail
reference=$(basename "$1") piece=$(basename "$2")
bowtie2 -x "$reference" -1 "${piece}_1.fq" -2 "${piece}_2.fq" | samtools sort -o "$piece.bam" -
echo "$piece.bam" > messages.txt
