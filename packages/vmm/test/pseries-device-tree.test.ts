import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeCells, decodeStrings, type FdtNode, findNode, readFdt } from "../src/boot/index.ts";
import { pseriesFdt } from "../src/machines/pseries/device-tree.ts";
import { rtasEntry } from "../src/machines/pseries/memory-map.ts";
import { bench } from "./fakes.ts";

const recorded = readFdt(new Uint8Array(readFileSync(new URL("./recordings/pseries-min.dtb", import.meta.url)))).root;

function treeOf(options: { ddw?: boolean } = {}): FdtNode {
  const { machine } = bench(options);
  return readFdt(
    pseriesFdt({
      ramBytes: 0x2000_0000,
      append: "console=hvc0 rdinit=/init panic=-1 cryptomgr.notests",
      initrd: { start: 0x2c9_0000, end: 0x2c9_046a },
      rtasEntry: rtasEntry(0x2000_0000),
      rtasTokens: machine.rtas.tokens(),
      slots: machine.phb.slots,
      dmaWindowBytes: 0x4000_0000,
      ddw: options.ddw ?? true,
    }),
  ).root;
}

const cellsOf = (node: FdtNode | undefined, name: string): number[] =>
  decodeCells(node?.properties[name] as Uint8Array);

describe("vmm pseries: device tree", () => {
  it("has every node and property of the recorded tree that boots, with the same value", () => {
    const ours = treeOf();
    const differences: string[] = [];
    const compare = (theirs: FdtNode, path: string): void => {
      const mine = findNode(ours, path);
      for (const [name, value] of Object.entries(theirs.properties)) {
        const got = mine?.properties[name];
        if (got === undefined || Buffer.compare(got as Uint8Array, value as Uint8Array) !== 0) {
          differences.push(`${path}:${name}`);
        }
      }
      // The function node depends on what is plugged in; it has a test of its own.
      for (const child of theirs.children) if (child.name !== "dev@1") compare(child, `${path}/${child.name}`);
    };
    compare(recorded, "");
    expect(differences).toEqual(["/pci@800000020000000:ibm,pe-total-#msi"]);
  });

  it("describes a plugged function from its registers", () => {
    const node = findNode(treeOf(), "/pci@800000020000000/pci1234,5678@1");
    expect(cellsOf(node, "reg")).toEqual(
      [
        [0x800, 0, 0, 0, 0],
        [0x02000810, 0, 0, 0, 0x1000],
        [0x43000814, 0, 0, 0, 0x1000],
        [0x0100081c, 0, 0, 0, 0x20],
      ].flat(),
    );
    expect(cellsOf(node, "vendor-id")).toEqual([0x1234]);
    expect(cellsOf(node, "class-code")).toEqual([0xff0000]);
    expect(cellsOf(node, "subsystem-id")).toEqual([2]);
    expect(cellsOf(node, "interrupts")).toEqual([1]);
    expect(cellsOf(node, "ibm,req#msi")).toEqual([4]);
    expect(cellsOf(node, "ibm,req#msi-x")).toEqual([8]);
    expect(cellsOf(node, "ibm,pci-config-space-type")).toEqual([0]);
  });

  it("leaves dynamic windows out when they are off", () => {
    const tree = treeOf({ ddw: false });
    expect(findNode(tree, "/pci@800000020000000")?.properties["ibm,ddw-applicable"]).toBeUndefined();
    expect(findNode(tree, "/rtas")?.properties["ibm,query-pe-dma-window"]).toBeUndefined();
  });

  it("advertises an RTAS entry outside RAM and below 4 GiB", () => {
    expect(rtasEntry(0x2000_0000)).toBe(0x7fff_0000);
    expect(rtasEntry(0x8000_0000)).toBe(0xffff_0000);
    expect(() => rtasEntry(0x1_0000_0000)).toThrow(expect.objectContaining({ code: "USAGE_MEMORY_TOO_LARGE" }));
  });

  it("names hypercall sets that the machine answers", () => {
    const names = decodeStrings(findNode(treeOf(), "/rtas")?.properties["ibm,hypertas-functions"] as Uint8Array);
    expect(names).toContain("hcall-set-mode");
    expect(names).toContain("hcall-multi-tce");
  });
});
