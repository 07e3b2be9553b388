# A table of three kinds in four columns that a linear model tells apart; the centres are far from each other.
centres = [(5.0, 3.4, 1.5, 0.2), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 8.6, 3.0)]
print('a,b,c,d,kind')
for i in range(120):
    kind = i % 3
    shake = [((i * 7 + k * 11) % 13 - 6) / 20 for k in range(4)]
    print(','.join(str(round(c + s, 3)) for c, s in zip(centres[kind], shake)) + ',' + 'xyz'[kind])
