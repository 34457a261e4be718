import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFdtValue } from "../src/boot/fdt.ts";
import {
  cells64,
  decodeCells,
  decodeStrings,
  type FdtNode,
  fdtNode,
  findNode,
  readFdt,
  writeFdt,
} from "../src/boot/index.ts";
import { VmmError } from "../src/errors.ts";

const recorded = new Uint8Array(readFileSync(new URL("./recordings/pseries-min.dtb", import.meta.url)));

describe("vmm boot: flattened device tree", () => {
  it("reads what dtc wrote", () => {
    const { root, reservations, bootCpu } = readFdt(recorded);
    expect(root.name).toBe("");
    expect(reservations).toEqual([]);
    expect(bootCpu).toBe(0);
    const vty = findNode(root, "/vdevice/vty@71000000");
    expect(decodeStrings(vty?.properties.compatible as Uint8Array)).toEqual(["hvterm1"]);
    expect(decodeCells(vty?.properties.interrupts as Uint8Array)).toEqual([0x1100, 0]);
  });

  it("writes the bytes that dtc writes", () => {
    expect(Buffer.from(writeFdt(readFdt(recorded).root)).equals(Buffer.from(recorded))).toBe(true);
  });

  it("encodes values by their type", () => {
    expect([...encodeFdtValue([1, 0x80000000], "x")]).toEqual([0, 0, 0, 1, 0x80, 0, 0, 0]);
    expect([...encodeFdtValue(["a", ""], "x")]).toEqual([97, 0, 0]);
    expect(encodeFdtValue(true, "x")).toHaveLength(0);
    expect(cells64(0x2000_8000_0000)).toEqual([0x2000, 0x8000_0000]);
  });

  it.each([
    ["a cell that is too large", fdtNode("", { x: 2 ** 32 })],
    ["a negative cell", fdtNode("", { x: [-1] })],
    ["a fractional cell", fdtNode("", { x: 0.5 })],
    ["a string with a NUL", fdtNode("", { x: "a\0b" })],
    ["a slash in a name", fdtNode("", {}, [fdtNode("a/b", {})])],
    ["a child without a name", fdtNode("", {}, [fdtNode("", {})])],
    ["a space in a property name", fdtNode("", { "a b": 1 })],
  ])("refuses %s", (_, node) => {
    expect(() => writeFdt(node)).toThrow(expect.objectContaining({ code: "FDT_VALUE" }));
  });

  it("keeps names, values, order, reservations and the boot CPU through writer and reader", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9,._#+-]{0,12}$/);
    const value = fc.uint8Array({ maxLength: 40 });
    const properties = fc.dictionary(name, value, { maxKeys: 5, noNullPrototype: true });
    const leaf: fc.Arbitrary<FdtNode> = fc.record({ name, properties, children: fc.constant([]) });
    const over = (child: fc.Arbitrary<FdtNode>): fc.Arbitrary<FdtNode> =>
      fc.record({ name, properties, children: fc.array(child, { maxLength: 3 }) });
    const tree = over(over(over(leaf)));
    const reservation = fc.record({ address: fc.maxSafeNat(), size: fc.integer({ min: 1, max: 2 ** 40 }) });
    fc.assert(
      fc.property(tree, fc.array(reservation, { maxLength: 3 }), fc.nat(), (node, reservations, bootCpu) => {
        const read = readFdt(writeFdt({ ...node, name: "" }, { reservations, bootCpu }));
        expect(plain(read.root)).toEqual(plain({ ...node, name: "" }));
        expect(read.reservations).toEqual(reservations);
        expect(read.bootCpu).toBe(bootCpu);
      }),
    );
  });

  it("gives a typed error, never another one, for a damaged blob", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(recorded.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.nat(recorded.length),
        (changes, length) => {
          const blob = recorded.slice();
          for (const [at, byte] of changes) blob[at] = byte;
          for (const candidate of [blob, blob.subarray(0, length)]) {
            try {
              readFdt(candidate);
            } catch (error) {
              expect(error).toBeInstanceOf(VmmError);
              expect((error as VmmError).code).toBe("FDT_MALFORMED");
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("reads names of any length", () => {
    const name = "n".repeat(300_000);
    expect(readFdt(writeFdt(fdtNode("", { [name]: 1 }, [fdtNode(name, {})]))).root.children[0]?.name).toBe(name);
  });

  it("refuses nesting that would exhaust the reader", () => {
    let node = fdtNode("leaf", {});
    for (let i = 0; i < 80; i++) node = fdtNode("n", {}, [node]);
    expect(() => readFdt(writeFdt({ ...node, name: "" }))).toThrow(/nests deeper/);
  });
});

function plain(node: FdtNode): unknown {
  return {
    name: node.name,
    properties: Object.entries(node.properties).map(([key, value]) => [key, [...(value as Uint8Array)]]),
    children: node.children.map(plain),
  };
}
