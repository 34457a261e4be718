// Reads a flattened device tree (version 17) back into nodes. Every offset and length of the blob is checked
// before it is used, so a damaged or hostile blob gives VmmError FDT_MALFORMED and nothing else.
// Source: Devicetree Specification 0.4, chapter 5. Property values come out as raw bytes: their type is not in the blob.
import { VmmError } from "../errors.ts";
import {
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_HEADER_SIZE,
  FDT_MAGIC,
  FDT_NOP,
  FDT_PROP,
  FDT_VERSION,
  type FdtNode,
  type FdtReservation,
  type FdtTree,
} from "./fdt.ts";

/** Nodes deeper than this are refused: the blob decides the depth, the reader's stack is ours. */
const MAX_DEPTH = 64;

const decoder = new TextDecoder("latin1");

interface OpenNode {
  readonly name: string;
  readonly properties: Record<string, Uint8Array>;
  readonly children: FdtNode[];
}

function malformed(why: string, at: number): VmmError {
  return new VmmError(`device tree blob: ${why} (at byte ${at})`, { code: "FDT_MALFORMED", details: { at } });
}

class Cursor {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.end = end;
  }

  u32(): number {
    if (this.at + 4 > this.end) throw malformed("ends in the middle of a word", this.at);
    const value = this.view.getUint32(this.at);
    this.at += 4;
    return value;
  }

  u64(): number {
    const high = this.u32();
    return high * 0x1_0000_0000 + this.u32();
  }

  take(length: number): Uint8Array {
    if (length > this.end - this.at) throw malformed(`a value of ${length} bytes runs past the end`, this.at);
    const value = this.bytes.slice(this.at, this.at + length);
    this.at += length;
    return value;
  }

  text(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0 || end >= this.end) throw malformed("a name has no end", this.at);
    const value = decoder.decode(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return value;
  }

  align(): void {
    this.at = Math.min((this.at + 3) & ~3, this.end);
  }
}

/** Parses a blob. Throws VmmError FDT_MALFORMED. */
export function readFdt(blob: Uint8Array): FdtTree {
  const header = new Cursor(blob, 0, Math.min(blob.length, FDT_HEADER_SIZE));
  if (header.u32() !== FDT_MAGIC) throw malformed("does not start with d00dfeed", 0);
  const total = header.u32();
  const structureAt = header.u32();
  const stringsAt = header.u32();
  const reservationsAt = header.u32();
  const version = header.u32();
  const lastCompatible = header.u32();
  const bootCpu = header.u32();
  const stringsSize = header.u32();
  const structureSize = header.u32();
  if (total > blob.length) throw malformed(`says ${total} bytes but has ${blob.length}`, 4);
  if (version < FDT_VERSION || lastCompatible > FDT_VERSION) {
    throw malformed(`version ${version} (compatible back to ${lastCompatible}) is not understood`, 20);
  }
  if (structureAt % 4 !== 0 || reservationsAt % 8 !== 0) throw malformed("blocks are not aligned", 8);
  if (structureAt + structureSize > total) throw malformed("the structure block runs past the end", 8);
  if (stringsAt + stringsSize > total) throw malformed("the strings block runs past the end", 12);
  const strings = new Cursor(blob, stringsAt, stringsAt + stringsSize);
  const root = readStructure(new Cursor(blob, structureAt, structureAt + structureSize), strings);
  return { root, reservations: readReservations(new Cursor(blob, reservationsAt, total)), bootCpu };
}

function readReservations(from: Cursor): FdtReservation[] {
  const out: FdtReservation[] = [];
  for (;;) {
    const entry = { address: from.u64(), size: from.u64() };
    if (entry.address === 0 && entry.size === 0) return out;
    out.push(entry);
  }
}

function readStructure(from: Cursor, strings: Cursor): FdtNode {
  const stack: OpenNode[] = [];
  let root: FdtNode | undefined;
  for (;;) {
    const at = from.at;
    const token = from.u32();
    const top = stack[stack.length - 1];
    if (token === FDT_BEGIN_NODE) {
      if (root !== undefined) throw malformed("has a second root", at);
      if (stack.length === MAX_DEPTH) throw malformed(`nests deeper than ${MAX_DEPTH} nodes`, at);
      const node: OpenNode = { name: from.text(), properties: Object.create(null), children: [] };
      from.align();
      top?.children.push(node);
      stack.push(node);
    } else if (token === FDT_PROP) {
      if (top === undefined) throw malformed("has a property outside of every node", at);
      const length = from.u32();
      const name = from.u32();
      top.properties[nameAt(strings, name, at)] = from.take(length);
      from.align();
    } else if (token === FDT_END_NODE) {
      const done = stack.pop();
      if (done === undefined) throw malformed("closes a node that was not opened", at);
      if (stack.length === 0) root = done;
    } else if (token === FDT_END) {
      if (root === undefined || stack.length > 0) throw malformed("ends before its nodes are closed", at);
      return root;
    } else if (token !== FDT_NOP) {
      throw malformed(`token ${token} is unknown`, at);
    }
  }
}

function nameAt(strings: Cursor, offset: number, at: number): string {
  const start = strings.at + offset;
  if (start >= strings.end) throw malformed("a property name lies outside of the strings block", at);
  return new Cursor(strings.bytes, start, strings.end).text();
}
