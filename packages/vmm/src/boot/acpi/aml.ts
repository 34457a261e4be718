// ACPI Machine Language: objects and the few statements that a description of fixed hardware needs, as bytes. Terms are
// built from inside out: each function takes encoded terms and gives an encoded one.
// Source: ACPI 6.5 chapter 20 (AML specification) and section 19.3.4 (_HID letters).
// What a value is decides how it is encoded:
//   number, bigint -> integer, as short as can be      string -> string      array -> package      Aml -> as it is
import { acpiValue, ascii, concat, le } from "./bytes.ts";

/** An encoded term. */
export type Aml = Uint8Array;
export type AmlValue = number | bigint | string | Aml | readonly AmlValue[];

const EXT = 0x5b;
const NULL_TARGET = 0x00;
const LENGTH_MAX = 2 ** 28 - 1;

/**
 * PkgLength of what is `content` bytes long without it: one to four bytes, which count themselves.
 * Throws VmmError ACPI_VALUE for more than 2^28.
 */
export function pkgLength(content: number): number[] {
  if (content + 1 <= 0x3f) return [content + 1];
  for (const bytes of [2, 3, 4]) {
    const total = content + bytes;
    if (total >= 2 ** (4 + 8 * (bytes - 1))) continue;
    // Two bits tell how many bytes follow, four are the lowest of the number.
    const out = [((bytes - 1) << 6) | (total & 0xf)];
    for (let at = 1; at < bytes; at++) out.push((total >>> (4 + 8 * (at - 1))) & 0xff);
    return out;
  }
  throw acpiValue(`a term of ${content} bytes; ${LENGTH_MAX} is the most`);
}

/** A name, absolute ("\\_SB.PCI0"), upwards ("^PCI0") or of this scope; parts are filled up with underscores. */
export function nameString(name: string): Aml {
  const match = /^(\\|\^*)((?:[A-Z_][A-Z0-9_]{0,3})(?:\.[A-Z_][A-Z0-9_]{0,3})*)?$/.exec(name);
  const [, prefix = "", path = ""] = match ?? [];
  const parts = path === "" ? [] : path.split(".");
  if (match === null || name === "" || parts.length > 255) throw acpiValue(`"${name}" is not a name`);
  const count = parts.length === 0 ? [0] : parts.length === 1 ? [] : parts.length === 2 ? [0x2e] : [0x2f, parts.length];
  return concat(ascii(prefix), count, ...parts.map((part) => ascii(part.padEnd(4, "_"))));
}

export function integer(value: number | bigint): Aml {
  if (value === 0 || value === 0n) return concat([0x00]);
  if (value === 1 || value === 1n) return concat([0x01]);
  if (value <= 0xff) return concat([0x0a], le(value, 1));
  if (value <= 0xffff) return concat([0x0b], le(value, 2));
  if (value <= 0xffff_ffff) return concat([0x0c], le(value, 4));
  return concat([0x0e], le(value, 8));
}

export function string(text: string): Aml {
  return concat([0x0d], ascii(text), [0]);
}

export function buffer(bytes: Uint8Array): Aml {
  return withLength([0x11], integer(bytes.length), bytes);
}

/** A package of at most 255 elements. */
export function pkg(elements: readonly AmlValue[]): Aml {
  return withLength([0x12], le(elements.length, 1), ...elements.map(value));
}

/** Any value as a term. */
export function value(of: AmlValue): Aml {
  if (of instanceof Uint8Array) return of;
  if (typeof of === "string") return string(of);
  if (typeof of === "object") return pkg(of);
  return integer(of);
}

/** A plug and play id ("PNP0A08") in its compressed form: three letters of five bits, four hexadecimal digits. */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw acpiValue(`"${id}" is not three letters and four hexadecimal digits`);
  const [a = 0, b = 0, c = 0] = ascii(id.slice(0, 3)).map((code) => code - 0x40);
  const letters = (a << 10) | (b << 5) | c;
  const digits = Number.parseInt(id.slice(3), 16);
  return concat([0x0c, letters >> 8, letters & 0xff, digits >> 8, digits & 0xff]);
}

/** A UUID as a buffer; its first three groups are little-endian numbers. */
export function uuid(text: string): Aml {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw acpiValue(`"${text}" is not a UUID`);
  const hexes = text.replaceAll("-", "");
  const bytes = Array.from({ length: 16 }, (_, at) => Number.parseInt(hexes.slice(at * 2, at * 2 + 2), 16));
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(Uint8Array.from(order, (at) => bytes[at] as number));
}

/** Name (name, value). */
export function name(path: string, of: AmlValue): Aml {
  return concat([0x08], nameString(path), value(of));
}

export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return withLength([0x10], nameString(path), ...terms);
}

export function device(path: string, ...terms: readonly Aml[]): Aml {
  return withLength([EXT, 0x82], nameString(path), ...terms);
}

export interface MethodShape {
  /** 0 to 7. */
  readonly args: number;
  /** Only one thread at a time: needed where the method makes named objects. */
  readonly serialized: boolean;
}

export function method(path: string, { args, serialized }: MethodShape, ...statements: readonly Aml[]): Aml {
  if (!Number.isInteger(args) || args < 0 || args > 7) throw acpiValue(`a method has 0 to 7 arguments, not ${args}`);
  return withLength([0x14], nameString(path), [args | (serialized ? 8 : 0)], ...statements);
}

/** Argument `index` (0 to 6) of the method, as operand or target. */
export function arg(index: number): Aml {
  if (!Number.isInteger(index) || index < 0 || index > 6) throw acpiValue(`there is no Arg${index}`);
  return concat([0x68 + index]);
}

/** Another object, as operand or target. */
export const ref = nameString;

/** CreateDWordField: `path` becomes four bytes of a buffer. */
export function createDWordField(source: Aml, byteIndex: AmlValue, path: string): Aml {
  return concat([0x8a], source, value(byteIndex), nameString(path));
}

/** Bitwise; the result goes to `target`, if there is one. */
export function and(a: AmlValue, b: AmlValue, target?: Aml): Aml {
  return concat([0x7b], value(a), value(b), target ?? [NULL_TARGET]);
}

export function or(a: AmlValue, b: AmlValue, target?: Aml): Aml {
  return concat([0x7d], value(a), value(b), target ?? [NULL_TARGET]);
}

export function equal(a: AmlValue, b: AmlValue): Aml {
  return concat([0x93], value(a), value(b));
}

export function not(of: Aml): Aml {
  return concat([0x92], of);
}

/** If (condition) { then } Else { otherwise }; an empty `otherwise` is left out. */
export function when(condition: Aml, then: readonly Aml[], otherwise: readonly Aml[] = []): Aml {
  const taken = withLength([0xa0], condition, ...then);
  return otherwise.length === 0 ? taken : concat(taken, withLength([0xa1], ...otherwise));
}

export function giveBack(of: AmlValue): Aml {
  return concat([0xa4], value(of));
}

function withLength(opcode: readonly number[], ...rest: readonly (Uint8Array | readonly number[])[]): Aml {
  const body = concat(...rest);
  return concat(opcode, pkgLength(body.length), body);
}
