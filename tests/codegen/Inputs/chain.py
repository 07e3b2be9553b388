"""chain.py N OP,... [REDUCE]: the ops in turn, N times, over f32[2, 3]."""
import sys

ops = sys.argv[2].split(",")
print("trellis 1\ngraph @chain(%x: f32[2, 3]) {\n  %v0 = neg %x")
last = int(sys.argv[1]) * len(ops)
for i in range(last):
    print(f"  %v{i + 1} = {ops[i % len(ops)]} %v{i}")
if len(sys.argv) > 3:
    print(f"  %y = reduce %v{last}, kind={sys.argv[3]}")
print(f"  return %{'y' if len(sys.argv) > 3 else f'v{last}'}\n}}")
