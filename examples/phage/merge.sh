#!/bin/bash
# merge.sh LIST: merge the sorted pieces named in the file LIST, one a line
set -euo pipefail
mkdir -p publish
samtools merge -o publish/aligned.bam -b "$1"
samtools view -c -F 4 publish/aligned.bam > publish/mapped.txt
cat publish/mapped.txt
