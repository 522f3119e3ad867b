"""Write the sample sheet: 200 samples, four lanes each but for four samples that have three."""

print("sample,lane,lanes,fq1,fq2")
for number in range(1, 201):
    sample = f"S{number:03d}"
    lanes = 3 if number % 50 == 0 else 4
    for lane in range(1, lanes + 1):
        reads = [f"/data/{sample}_L{lane}_{mate}.fq.gz" for mate in (1, 2)]
        print(sample, f"L{lane}", lanes, *reads, sep=",")
