#!/bin/sh
# count.sh "FROM TO": how many primes p with FROM <= p < TO, by trial division in the shell itself,
# because starting any other program would take longer than the work
set -eu
number=${1% *} last=${1#* } found=0
if [ "$number" -le 2 ]; then
    number=3
    if [ "$last" -gt 2 ]; then found=1; fi
fi
number=$((number | 1))
while [ "$number" -lt "$last" ]; do
    divisor=3
    while [ $((divisor * divisor)) -le "$number" ] && [ $((number % divisor)) -ne 0 ]; do
        divisor=$((divisor + 2))
    done
    if [ $((divisor * divisor)) -gt "$number" ]; then found=$((found + 1)); fi
    number=$((number + 2))
done
echo "$found" > messages.txt
