#!/bin/bash
# align.sh REFERENCE PIECE: align the read pairs PIECE_1.fq and PIECE_2.fq, leave them sorted as PIECE.bam
set -euo pipefail
# Another attempt of this task may be at work too, so each writes under a name of its own.
mine=$2.attempt-$SBX_ATTEMPT.bam
bowtie2 -x "$1" -1 "$2_1.fq" -2 "$2_2.fq" | samtools sort -o "$mine" -
mv "$mine" "$2.bam"
echo "$2.bam" > messages.txt
