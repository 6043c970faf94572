"""Touches much of CPython: compiler, big integers, regular expressions, files, exceptions."""

import collections, dataclasses, decimal, fractions, hashlib, heapq, io, itertools, json, math, os, random, re, struct, sys, zlib


@dataclasses.dataclass(order=True)
class Part:
    weight: int
    name: str = dataclasses.field(compare=False)


def primes(limit):
    sieve = bytearray([1]) * limit
    for i in range(2, math.isqrt(limit) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(sieve[i * i :: i]))
    return [i for i in range(2, limit) if sieve[i]]


def main():
    print(sys.argv, sorted(os.environ.items()))
    found = primes(100_000)
    print(len(found), found[-1], hashlib.sha256(repr(found).encode()).hexdigest())
    print(math.factorial(300) % 10**40, pow(3, 10**6, 10**9 + 7), fractions.Fraction(1, 3) + fractions.Fraction(1, 7))
    decimal.getcontext().prec = 60
    print(decimal.Decimal(2).sqrt(), math.sin(1.0), 0.1 + 0.2, float("inf"), -0.0)
    words = re.findall(r"[a-z]+", sys.stdin.read().lower())
    print(collections.Counter(words).most_common(7))
    heap = [Part(w * 7919 % 104729, f"part{w}") for w in range(5000)]
    heapq.heapify(heap)
    print([heapq.heappop(heap).name for _ in range(5)])
    random.seed(42)
    data = bytes(random.randrange(256) for _ in range(20000)) * 3
    packed = zlib.compress(data, 9)
    print(len(packed), zlib.crc32(data), zlib.decompress(packed) == data)
    os.makedirs("/job/made/deep", exist_ok=True)
    for i in range(20):
        with open(f"/job/made/deep/{i:02}.json", "w") as file:
            json.dump({"index": i, "squares": [n * n for n in range(i)], "text": "žluťoučký" * i}, file)
    names = sorted(os.listdir("/job/made/deep"))
    sizes = [os.stat(os.path.join("/job/made/deep", n)).st_size for n in names]
    print(names[:3], sizes, sum(len(json.load(open(os.path.join("/job/made/deep", n)))["squares"]) for n in names))
    os.rename("/job/made/deep/19.json", "/job/made/last.json")
    os.remove("/job/made/deep/00.json")
    print(sorted(os.listdir("/job/made")), os.path.exists("/job/made/deep/00.json"))
    try:
        open("/job/../outside")
    except OSError as error:
        print("refused:", error.errno != 0)

    def fall(n):
        return fall(n + 1)

    try:
        fall(0)
    except RecursionError as error:
        print(type(error).__name__)
    print(struct.pack("<dIq", 1.5, 7, -9).hex(), list(itertools.islice(itertools.permutations("abc"), 4)))
    print("to standard error", file=sys.stderr)
    sys.exit(7)


main()
