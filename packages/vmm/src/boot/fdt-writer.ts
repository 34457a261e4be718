// Writes a device tree as a flattened blob, version 17, laid out as dtc does it: header, reservations, structure,
// strings. Property names that are the end of a name already written share its bytes.
// Source: Devicetree Specification 0.4, chapter 5.
import { VmmError } from "../errors.ts";
import {
  encodeFdtValue,
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_HEADER_SIZE,
  FDT_LAST_COMPATIBLE_VERSION,
  FDT_MAGIC,
  FDT_PROP,
  FDT_VERSION,
  type FdtNode,
  type FdtReservation,
} from "./fdt.ts";

export interface WriteFdtOptions {
  readonly reservations?: readonly FdtReservation[];
  /** Physical id of the CPU that boots. Default 0. */
  readonly bootCpu?: number;
}

const encoder = new TextEncoder();

/** Growing big-endian byte buffer; every 32-bit word of the structure block is 4-byte aligned. */
class BlobBuilder {
  bytes = new Uint8Array(4096);
  length = 0;
  private view = new DataView(this.bytes.buffer);

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  u32(value: number): void {
    this.room(4);
    this.view.setUint32(this.length, value);
    this.length += 4;
  }

  u64(value: number): void {
    this.u32(Math.floor(value / 0x1_0000_0000));
    this.u32(value % 0x1_0000_0000);
  }

  data(bytes: Uint8Array): void {
    this.room(bytes.length + 3);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  align(to: number): void {
    const rest = this.length % to;
    if (rest !== 0) this.data(new Uint8Array(to - rest));
  }
}

/** The strings block: names end to end, each found again by its offset. */
class StringTable {
  readonly blob = new BlobBuilder();
  private readonly offsets = new Map<string, number>();
  private text = "";

  offsetOf(name: string): number {
    const known = this.offsets.get(name);
    if (known !== undefined) return known;
    let at = this.text.indexOf(`${name}\0`);
    if (at < 0) {
      at = this.text.length;
      this.text += `${name}\0`;
      this.blob.data(encoder.encode(`${name}\0`));
    }
    this.offsets.set(name, at);
    return at;
  }
}

/** Device tree as a blob. Throws VmmError FDT_VALUE for a name or value that the format cannot hold. */
export function writeFdt(root: FdtNode, options: WriteFdtOptions = {}): Uint8Array {
  const reservations = options.reservations ?? [];
  const strings = new StringTable();
  const structure = new BlobBuilder();
  writeNode(structure, strings, root, undefined);
  structure.u32(FDT_END);

  const structureAt = FDT_HEADER_SIZE + (reservations.length + 1) * 16;
  const stringsAt = structureAt + structure.length;
  const total = stringsAt + strings.blob.length;
  const out = new BlobBuilder();
  for (const word of [FDT_MAGIC, total, structureAt, stringsAt, FDT_HEADER_SIZE]) out.u32(word);
  for (const word of [FDT_VERSION, FDT_LAST_COMPATIBLE_VERSION, options.bootCpu ?? 0]) out.u32(word);
  out.u32(strings.blob.length);
  out.u32(structure.length);
  for (const entry of reservations) {
    out.u64(entry.address);
    out.u64(entry.size);
  }
  out.u64(0);
  out.u64(0);
  out.data(structure.bytes.subarray(0, structure.length));
  out.data(strings.blob.bytes.subarray(0, strings.blob.length));
  return out.bytes.slice(0, out.length);
}

function writeNode(out: BlobBuilder, strings: StringTable, node: FdtNode, parent: string | undefined): void {
  const here = parent === undefined || parent === "/" ? `/${node.name}` : `${parent}/${node.name}`;
  checkName(node.name, here);
  if (node.name === "" && parent !== undefined) throw nameError(here, "a node below the root needs a name");
  out.u32(FDT_BEGIN_NODE);
  out.data(encoder.encode(`${node.name}\0`));
  out.align(4);
  for (const [name, value] of Object.entries(node.properties)) {
    checkName(name, `${here}:${name}`);
    const bytes = encodeFdtValue(value, `${here}:${name}`);
    out.u32(FDT_PROP);
    out.u32(bytes.length);
    out.u32(strings.offsetOf(name));
    out.data(bytes);
    out.align(4);
  }
  for (const child of node.children) writeNode(out, strings, child, here);
  out.u32(FDT_END_NODE);
}

function checkName(name: string, where: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters that a name may not hold
  if (/[\u0000-\u0020/\u007f-\uffff]/.test(name)) throw nameError(where, "names are printable ASCII without '/'");
}

function nameError(where: string, why: string): VmmError {
  return new VmmError(`device tree: bad name at ${where}: ${why}`, { code: "FDT_VALUE", details: { where } });
}
