// A flattened device tree as plain data: nodes, properties and the values that they may hold.
// Source: Devicetree Specification 0.4, chapters 2 and 5. Writer and reader are in fdt-writer.ts and fdt-reader.ts.
// A property value is what its TypeScript type says; the writer turns it into big-endian bytes:
//   number, number[]  -> 32-bit cells          string, string[] -> NUL-terminated strings
//   Uint8Array        -> the bytes as they are true             -> an empty value
import { VmmError } from "../errors.ts";

export type FdtValue = number | readonly number[] | string | readonly string[] | Uint8Array | true;

export interface FdtNode {
  /** Name with its unit address, for example "memory@0"; "" for the root. */
  readonly name: string;
  readonly properties: Readonly<Record<string, FdtValue>>;
  readonly children: readonly FdtNode[];
}

/** An entry of the memory reservation block: bytes that the guest must not use. Below 2^53. */
export interface FdtReservation {
  readonly address: number;
  readonly size: number;
}

export interface FdtTree {
  readonly root: FdtNode;
  readonly reservations: readonly FdtReservation[];
  readonly bootCpu: number;
}

export const FDT_MAGIC = 0xd00dfeed;
export const FDT_BEGIN_NODE = 1;
export const FDT_END_NODE = 2;
export const FDT_PROP = 3;
export const FDT_NOP = 4;
export const FDT_END = 9;
export const FDT_HEADER_SIZE = 40;
export const FDT_VERSION = 17;
export const FDT_LAST_COMPATIBLE_VERSION = 16;

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

/** Builds a node; a property whose value is undefined is left out. */
export function fdtNode(
  name: string,
  properties: Readonly<Record<string, FdtValue | undefined>>,
  children: readonly FdtNode[] = [],
): FdtNode {
  const kept: Record<string, FdtValue> = {};
  for (const [key, value] of Object.entries(properties)) if (value !== undefined) kept[key] = value;
  return { name, properties: kept, children };
}

/** A number below 2^53 as two cells, high first. */
export function cells64(value: number): [number, number] {
  return [Math.floor(value / 0x1_0000_0000), value % 0x1_0000_0000];
}

/** The bytes that a property holds in the blob. Throws VmmError FDT_VALUE for what a cell or a string cannot hold. */
export function encodeFdtValue(value: FdtValue, what: string): Uint8Array {
  if (value === true) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (typeof value === "number") return encodeCells([value], what);
  if (typeof value === "string") return encodeStrings([value], what);
  return isNumbers(value) ? encodeCells(value, what) : encodeStrings(value as readonly string[], what);
}

function isNumbers(list: readonly number[] | readonly string[]): list is readonly number[] {
  return list.length > 0 && typeof list[0] === "number";
}

function encodeCells(values: readonly number[], what: string): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new VmmError(`device tree: ${what} cell ${index} is ${value}, which is not an unsigned 32-bit number`, {
        code: "FDT_VALUE",
        details: { what, index, value },
        hint: "split 64-bit quantities with cells64()",
      });
    }
    view.setUint32(index * 4, value);
  });
  return bytes;
}

function encodeStrings(values: readonly string[], what: string): Uint8Array {
  for (const value of values) {
    if (value.includes("\0")) {
      throw new VmmError(`device tree: ${what} holds a string with a NUL inside`, {
        code: "FDT_VALUE",
        details: { what, value },
        hint: "give a list of strings instead",
      });
    }
  }
  return encoder.encode(values.map((value) => `${value}\0`).join(""));
}

/** Reads a property's bytes as cells (length must be a multiple of four). */
export function decodeCells(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) out.push(view.getUint32(at));
  return out;
}

/** Reads a property's bytes as a list of NUL-terminated strings. */
export function decodeStrings(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return [];
  const end = bytes[bytes.length - 1] === 0 ? bytes.length - 1 : bytes.length;
  return decoder.decode(bytes.subarray(0, end)).split("\0");
}

/** Finds a node by its path ("/cpus/cpu@0", "/" for the root). */
export function findNode(root: FdtNode, path: string): FdtNode | undefined {
  let node: FdtNode | undefined = root;
  for (const part of path.split("/")) {
    if (part === "") continue;
    node = node?.children.find((child) => child.name === part);
  }
  return node;
}
