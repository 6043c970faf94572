// Classes, closures, generators, promises, big integers, regular expressions, sorting, JSON.
"use strict";
class Part {
    #weight;
    constructor(name, weight) { this.name = name; this.#weight = weight; }
    get weight() { return this.#weight; }
    toJSON() { return { name: this.name, weight: this.#weight }; }
}
function* primes(limit) {
    const sieve = new Uint8Array(limit);
    for (let i = 2; i < limit; i++) {
        if (sieve[i]) continue;
        yield i;
        for (let j = i * i; j < limit; j += i) sieve[j] = 1;
    }
}
const found = [...primes(100000)];
print(found.length, found.at ? found.at(-1) : found[found.length - 1], found.reduce((a, b) => (a * 31 + b) | 0, 7));
const words = readFile("/job/text.txt").toLowerCase().match(/[a-z]+/g);
const counts = new Map();
for (const word of words) counts.set(word, (counts.get(word) || 0) + 1);
print(JSON.stringify([...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 7)));
let big = 1n;
for (let i = 1n; i <= 120n; i++) big *= i;
print(big % (10n ** 40n + 7n), (2n ** 127n - 1n).toString(16));
print(JSON.stringify([new Part("lintel", 1.25), new Part("slab", 4e21)]), 0.1 + 0.2, -0, [1e21, 1 / 3, NaN]);
const parts = Array.from({ length: 20000 }, (_, i) => new Part(`part${i}`, (i * 7919) % 104729));
parts.sort((a, b) => a.weight - b.weight);
print(parts.slice(0, 4).map((p) => p.name).join(" "), "2026-11-20".replace(/(\d+)-(\d+)-(\d+)/, "$3.$2.$1"));
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
print(fib(22), parseInt("z", 36), encodeURIComponent("žluťoučký kůň"), "ﬀ".toUpperCase());
(async () => {
    for await (const value of (async function* () { yield 1; yield 2; })()) print("awaited", value);
    await Promise.reject(new TypeError("expected")).catch((error) => print(String(error)));
    null.property;
})().catch((error) => print(String(error)));
new Function("a", "b", "return print(`sum ${a + b}`)")(19, 23);
try { (function fall() { fall(); })(); } catch (error) { print(error instanceof Error); }
throw new RangeError("the end");
