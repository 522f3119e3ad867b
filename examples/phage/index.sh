#!/bin/bash
# index.sh REFERENCE: unpack the reference and index it for bowtie2 and samtools
set -euo pipefail
zcat -f "$1" > reference.fa
bowtie2-build --quiet reference.fa reference
samtools faidx reference.fa
mv reference.* "$SBX_SHARED/"
echo "$SBX_SHARED/reference" > messages.txt
