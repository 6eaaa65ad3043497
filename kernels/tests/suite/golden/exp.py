"""Makes exp.csv: e^x to 106 bits for doubles of all sizes, as bit patterns of x, the nearest double, and the remainder.

Needs mpmath. Run as: python3 exp.py > exp.csv
"""
import random
import struct
import mpmath

mpmath.mp.prec = 200
random.seed(1)
bits = lambda x: f"{struct.unpack('>Q', struct.pack('>d', x))[0]:016x}"
xs = [random.uniform(-745, 709.7) for _ in range(1500)] + [random.uniform(-1, 1) for _ in range(500)]
xs += [random.uniform(-1, 1) * 2.0 ** -random.randint(1, 60) for _ in range(200)] + [709.78, -708.4, -745.1, 0.3465735902799726]
print("x,high,low")
for x in xs:
    exact = mpmath.exp(mpmath.mpf(x))
    high = float(exact)
    low = float(exact - mpmath.mpf(high))
    print(bits(x), bits(high), bits(low), sep=",")
