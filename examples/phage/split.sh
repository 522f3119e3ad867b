#!/bin/bash
# split.sh REFERENCE READS_1 READS_2 PAIRS: cut the read pairs into pieces of PAIRS each, a message a piece
#
# The name of the indexed reference goes along as the header _reference.
set -euo pipefail
pieces=$SBX_SHARED/pieces
mkdir -p "$pieces"
lines=$(($4 * 4))                     # a read is four lines of FASTQ
cut() {                               # cut READS SUFFIX
    zcat -f "$1" | split --lines="$lines" --numeric-suffixes --suffix-length=6 --additional-suffix="$2" - "$pieces/piece-"
}
cut "$2" _1.fq
cut "$3" _2.fq
for first in "$pieces"/piece-*_1.fq; do
    echo "${first%_1.fq},{\"_reference\": \"$1\"}"
done > messages.txt
