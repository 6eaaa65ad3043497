"""Makes FUNCTION.csv for each elementary function: its values at doubles of all sizes, as the bit pattern of x, that of a
double next to the true value, and what the true value has beyond that, in units of its last place.

Needs mpmath. Run in this folder as: python3 elementary.py
"""
import random
import struct
import mpmath
from mpmath import mpf

mpmath.mp.prec = 400


def uniform(low, high, count):
    return [random.uniform(low, high) for _ in range(count)]


def powers(low, high, count, signs=(-1, 1)):
    """Numbers of all exponents from low to high."""
    return [random.choice(signs) * random.uniform(1, 2) * 2.0 ** random.randint(low, high) for _ in range(count)]


def softplus(x):
    return mpmath.log1p(mpmath.exp(x))


FUNCTIONS = {
    "exp": (mpmath.exp, lambda: uniform(-745, 709.7, 800) + uniform(-1, 1, 400) + powers(-60, -1, 200)
            + [709.78, -708.4, -745.1, 0.3465735902799726]),
    "log": (mpmath.log, lambda: powers(-1074, 1023, 500, [1]) + uniform(0.5, 2, 700) + uniform(2, 100, 100)
            + [1 + x for x in powers(-50, -1, 200)]),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), lambda: uniform(-745, -30, 300) + uniform(-30, 40, 900)
                + powers(-60, -1, 200)),
    "tanh": (mpmath.tanh, lambda: uniform(-20, 20, 400) + uniform(-1, 1, 600) + powers(-1074, -1, 400)),
    "softplus": (softplus, lambda: uniform(-745, -30, 300) + uniform(-30, 40, 900) + powers(-60, -1, 200)
                 + uniform(40, 1e6, 20)),
    "erf": (mpmath.erf, lambda: uniform(-6, 6, 500) + uniform(-1, 1, 500) + powers(-1070, -1, 400)),
    "softsign": (lambda x: x / (1 + abs(x)), lambda: uniform(-6, 6, 700) + uniform(-1, 1, 300) + powers(-1074, 1023, 400)),
    "gelu": (lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2, lambda: uniform(-38.5, -3, 400)
             + uniform(-3, 3, 600) + uniform(3, 40, 50) + powers(-1070, -1, 300)),
}


def bits(x):
    return f"{struct.unpack('>Q', struct.pack('>d', x))[0]:016x}"


for name, (function, points) in FUNCTIONS.items():
    random.seed(name)
    with open(name + ".csv", "w") as file:
        print("x,near,beyond", file=file)
        for x in points():
            exact = function(mpf(x))
            near = float(exact)
            last_place = mpf(2) ** (max(mpmath.frexp(exact)[1], -1021) - 53) if exact else mpf(2) ** -1074
            print(bits(x), bits(near), f"{float((exact - mpf(near)) / last_place):.4f}", sep=",", file=file)
