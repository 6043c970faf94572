import { describe, type Shape } from "./shapes";

enum Color { Red = 1, Green = "g".length, Blue }

@frozen
class Crate<T extends Shape> {
    static count = 0;
    #items: T[] = [];
    constructor(private readonly label: string, public color: Color = Color.Blue) { Crate.count++; }
    add(...items: T[]): this { this.#items.push(...items); return this; }
    get total(): number { return this.#items.reduce((sum, { width, height = width }) => sum + width * height, 0); }
    async *walk() { for (const item of this.#items) yield `${this.label}: ${describe(item) ?? "nothing"}`; }
}
function frozen<C extends new (...a: any[]) => object>(target: C) { Object.freeze(target.prototype); }

const crate = new Crate<Shape>("slabs").add({ kind: "slab", width: 3 }, { kind: "beam", width: 2, height: 5 });
for await (const line of crate.walk()) console.log(line, crate?.total ** 2, import.meta.url !== undefined);
export default crate satisfies Crate<Shape>;
