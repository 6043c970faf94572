export type Shape = { kind: "slab" | "beam"; width: number; height?: number };
const unused = () => { throw new Error("shaken off"); };
const h = (tag: string, props: object | null, ...children: unknown[]) => ({ tag, props, children });
export const describe = (s: Shape) => (<shape kind={s.kind}>{s.width} × {s.height ?? s.width}</shape> as any).children.join("");
