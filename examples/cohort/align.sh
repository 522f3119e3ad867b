#!/bin/bash
# align.sh READS_1 READS_2 SAMPLE.LANE: a stand-in for an aligner; a file of one line is its result
#
# A lane listed in bad-lanes.txt beside pipeline.toml fails, to show what happens then.
set -euo pipefail
if grep -qsx "$3" "$SBX_PIPELINE/bad-lanes.txt"; then
    echo "$3: truncated input" >&2
    exit 9
fi
lanes=$SBX_SHARED/lanes
mkdir -p "$lanes"
echo "$1 $2" > "$lanes/.$3.$SBX_ATTEMPT"        # a name of its own first, as attempts may overlap
mv "$lanes/.$3.$SBX_ATTEMPT" "$lanes/$3.bam"
echo "merge,$lanes/$3.bam" >> messages.txt
echo "report,$lanes/$3.flagstat" >> messages.txt
