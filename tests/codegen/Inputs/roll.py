"""roll.py N: the rows of f32[4, 3] moved up by one, the first one to the end, N times."""
import sys

n = int(sys.argv[1])
print("trellis 1\ngraph @roll(%x: f32[4, 3]) {\n  %v0 = neg %x")
for i in range(n):
    print(f"  %a{i} = slice %v{i}, start=[1, 0], limit=[4, 3]")
    print(f"  %b{i} = slice %v{i}, start=[0, 0], limit=[1, 3]")
    print(f"  %v{i + 1} = concat %a{i}, %b{i}, axis=0")
print(f"  return %v{n}\n}}")
