// Reads ACPI tables and AML as an operating system does, far enough to check what a writer wrote: tables by pointers,
// PkgLength, integers, packages, and the resource descriptors of a template.

export interface Table {
  readonly signature: string;
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
export const letters = (bytes: Uint8Array, at: number, count: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + count));

/** Memory with the tables in it, and all tables that can be reached from the root pointer. */
export function reachTables(image: { bytes: Uint8Array; address: number; rsdpAddress: number }): Map<string, Table> {
  const { bytes, address, rsdpAddress } = image;
  const memory = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (where: number): Table => {
    const offset = where - address;
    const own = bytes.subarray(offset, offset + memory.getUint32(offset + 4, true));
    const view = new DataView(own.buffer, own.byteOffset, own.byteLength);
    return { signature: letters(own, 0, 4), address: where, bytes: own, view };
  };
  const tables = [at(Number(memory.getBigUint64(rsdpAddress - address + 24, true)))];
  const root = tables[0]!.view;
  for (let entry = 36; entry < root.byteLength; entry += 8) tables.push(at(Number(root.getBigUint64(entry, true))));
  const fadt = tables.find((table) => table.signature === "FACP")!.view;
  tables.push(at(fadt.getUint32(36, true)), at(Number(fadt.getBigUint64(140, true))));
  return new Map(tables.map((table) => [table.signature, table]));
}

/** PkgLength at `at`: the number, and how many bytes it has. */
export function readPkgLength(bytes: Uint8Array, at = 0): { length: number; size: number } {
  const lead = bytes[at]!;
  const more = lead >> 6;
  if (more === 0) return { length: lead & 0x3f, size: 1 };
  let length = lead & 0xf;
  for (let index = 1; index <= more; index++) length += bytes[at + index]! * 2 ** (4 + 8 * (index - 1));
  return { length, size: more + 1 };
}

/** An integer term at `at`: its value, and where the next term begins. */
export function readInteger(bytes: Uint8Array, at: number): { value: bigint; next: number } {
  const opcode = bytes[at]!;
  if (opcode <= 1) return { value: BigInt(opcode), next: at + 1 };
  const width = new Map([
    [0x0a, 1],
    [0x0b, 2],
    [0x0c, 4],
    [0x0e, 8],
  ]).get(opcode);
  if (width === undefined) throw new Error(`no integer at ${at}: opcode ${opcode}`);
  let value = 0n;
  for (let index = width; index > 0; index--) value = (value << 8n) | BigInt(bytes[at + index]!);
  return { value, next: at + 1 + width };
}

/** A package of packages of integers, as _PRT is. */
export function readTable(bytes: Uint8Array, at: number): bigint[][] {
  const open = (from: number): { count: number; next: number; end: number } => {
    if (bytes[from] !== 0x12) throw new Error(`no package at ${from}`);
    const { length, size } = readPkgLength(bytes, from + 1);
    return { count: bytes[from + 1 + size]!, next: from + 2 + size, end: from + 1 + length };
  };
  const outer = open(at);
  const rows: bigint[][] = [];
  let next = outer.next;
  for (let row = 0; row < outer.count; row++) {
    const inner = open(next);
    const values: bigint[] = [];
    next = inner.next;
    for (let index = 0; index < inner.count; index++) {
      const { value, next: behind } = readInteger(bytes, next);
      values.push(value);
      next = behind;
    }
    if (next !== inner.end) throw new Error(`a package ends at ${next}, not at ${inner.end}`);
    rows.push(values);
  }
  if (next !== outer.end) throw new Error(`a package ends at ${next}, not at ${outer.end}`);
  return rows;
}

/** The resource descriptors of a buffer term at `at`, each with its tag and its bytes behind tag and length. */
export function readTemplate(bytes: Uint8Array, at: number): { tag: number; data: DataView }[] {
  if (bytes[at] !== 0x11) throw new Error(`no buffer at ${at}`);
  const { length, size } = readPkgLength(bytes, at + 1);
  const { value, next } = readInteger(bytes, at + 1 + size);
  const end = next + Number(value);
  if (end !== at + 1 + length) throw new Error("the buffer's size is not that of its bytes");
  const out: { tag: number; data: DataView }[] = [];
  for (let here = next; ; ) {
    const lead = bytes[here]!;
    const large = (lead & 0x80) !== 0;
    const count = large ? bytes[here + 1]! + bytes[here + 2]! * 256 : lead & 7;
    const from = here + (large ? 3 : 1);
    if ((lead & 0xf8) === 0x78) {
      if (from + count !== end) throw new Error("the end tag is not at the end");
      return out;
    }
    out.push({ tag: large ? lead : lead & 0xf8, data: new DataView(bytes.buffer, bytes.byteOffset + from, count) });
    here = from + count;
  }
}
