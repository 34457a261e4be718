// ABI struct codec: C structs of the Linux user ABI as little-endian bytes with natural alignment, as gcc lays
// them out on x86_64 and ppc64le. Field order is declaration order. 64-bit fields are bigint at this API, which is
// for set-up calls; hot paths write their halves at `type.offsets.field` themselves.

import { MinivmmError } from "./error.ts";

/** One field's representation. A struct is a field type too, so structs nest. */
export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  zero(): T;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

/** Bytes that exist in the layout but not in the value (reserved fields); encoded as zero. */
export interface PadType extends FieldType<undefined> {
  readonly padding: true;
}

type AnyField = FieldType<unknown>;
type Fields = Record<string, AnyField>;
type ValueKeys<F extends Fields> = { [K in keyof F]: F[K] extends PadType ? never : K }[keyof F];
type Simplify<T> = { [K in keyof T]: T[K] };
type FieldValues<F extends Fields> = Simplify<{
  [K in ValueKeys<F>]: F[K] extends FieldType<infer T> ? T : never;
}>;

export interface StructType<V extends object, K extends string = string> extends FieldType<V> {
  readonly name: string;
  /** Byte offset of every field, padding fields included. */
  readonly offsets: Readonly<Record<K, number>>;
  /**
   * Writes all fields, absent ones as zero, and returns the bytes. `into` may be longer than the struct (a trailing
   * array follows); bytes beyond the struct are left alone.
   */
  encode(value: Partial<V>, into?: Uint8Array): Uint8Array;
  /** Reads the struct at byte `at`. Throws MinivmmError STRUCT_SHORT when the bytes end before the struct does. */
  decode(bytes: Uint8Array, at?: number): V;
}

/** The decoded object type of a struct: `type Info = StructValue<typeof vfio_region_info>`. */
export type StructValue<S> = S extends StructType<infer V, infer _K> ? V : never;

function numeric<T extends number | bigint>(
  size: number,
  zero: T,
  read: (view: DataView, at: number) => T,
  write: (view: DataView, at: number, value: T) => void,
): FieldType<T> {
  return { size, align: size, zero: () => zero, read, write };
}

export const u8: FieldType<number> = numeric<number>(
  1,
  0,
  (v, a) => v.getUint8(a),
  (v, a, x) => v.setUint8(a, x),
);
export const u16: FieldType<number> = numeric<number>(
  2,
  0,
  (v, a) => v.getUint16(a, true),
  (v, a, x) => v.setUint16(a, x, true),
);
export const s16: FieldType<number> = numeric<number>(
  2,
  0,
  (v, a) => v.getInt16(a, true),
  (v, a, x) => v.setInt16(a, x, true),
);
export const u32: FieldType<number> = numeric<number>(
  4,
  0,
  (v, a) => v.getUint32(a, true),
  (v, a, x) => v.setUint32(a, x, true),
);
export const s32: FieldType<number> = numeric<number>(
  4,
  0,
  (v, a) => v.getInt32(a, true),
  (v, a, x) => v.setInt32(a, x, true),
);
export const u64: FieldType<bigint> = numeric<bigint>(
  8,
  0n,
  (v, a) => v.getBigUint64(a, true),
  (v, a, x) => v.setBigUint64(a, x, true),
);
export const s64: FieldType<bigint> = numeric<bigint>(
  8,
  0n,
  (v, a) => v.getBigInt64(a, true),
  (v, a, x) => v.setBigInt64(a, x, true),
);

/** `length` elements of `type`, without a gap. Missing elements encode as zero, surplus ones are an error. */
export function array<T>(type: FieldType<T>, length: number): FieldType<T[]> {
  return {
    size: type.size * length,
    align: type.align,
    zero: () => Array.from({ length }, () => type.zero()),
    read: (view, at) => Array.from({ length }, (_, i) => type.read(view, at + i * type.size)),
    write(view, at, values) {
      if (values.length > length) throw tooMany(values.length, length);
      for (let i = 0; i < length; i++) {
        const value = values[i];
        type.write(view, at + i * type.size, value === undefined ? type.zero() : value);
      }
    },
  };
}

/** `length` raw bytes as a Uint8Array (a copy when decoded). */
export function bytes(length: number): FieldType<Uint8Array> {
  return {
    size: length,
    align: 1,
    zero: () => new Uint8Array(length),
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
    write(view, at, value) {
      if (value.length > length) throw tooMany(value.length, length);
      const target = new Uint8Array(view.buffer, view.byteOffset + at, length);
      target.fill(0);
      target.set(value);
    },
  };
}

/** Reserved bytes: `pad(4)`, or `pad(4, 4)` when the C type is an aligned one. */
export function pad(size: number, align = 1): PadType {
  return {
    padding: true,
    size,
    align,
    zero: () => undefined,
    read: () => undefined,
    write(view, at) {
      for (let i = 0; i < size; i++) view.setUint8(at + i, 0);
    },
  };
}

/** Lays `fields` out in order with natural alignment; the size is rounded up to the strictest field's alignment. */
export function struct<F extends Fields>(
  name: string,
  fields: F,
): StructType<FieldValues<F>, Extract<keyof F, string>> {
  type V = FieldValues<F>;
  type K = Extract<keyof F, string>;
  const offsets = {} as Record<K, number>;
  const entries: { key: K; type: AnyField; offset: number; padding: boolean }[] = [];
  let end = 0;
  let align = 1;
  for (const key of Object.keys(fields) as K[]) {
    const type = fields[key] as AnyField;
    const offset = roundUp(end, type.align);
    offsets[key] = offset;
    entries.push({ key, type, offset, padding: "padding" in type });
    end = offset + type.size;
    align = Math.max(align, type.align);
  }
  const size = roundUp(end, align);

  const read = (view: DataView, at: number): V => {
    const value: Record<string, unknown> = {};
    for (const e of entries) if (!e.padding) value[e.key] = e.type.read(view, at + e.offset);
    return value as V;
  };
  const write = (view: DataView, at: number, value: Partial<V>): void => {
    for (let i = 0; i < size; i++) view.setUint8(at + i, 0);
    for (const e of entries) {
      const field = (value as Record<string, unknown>)[e.key];
      if (field !== undefined && !e.padding) e.type.write(view, at + e.offset, field);
    }
  };
  const viewOf = (memory: Uint8Array, at: number): DataView => {
    if (at < 0 || memory.length - at < size) {
      throw new MinivmmError(
        `struct ${name} needs ${size} bytes at offset ${at}, but the buffer has ${memory.length}`,
        {
          code: "STRUCT_SHORT",
          details: { name, size, at, length: memory.length },
          hint: "Pass a buffer of at least the struct's size.",
        },
      );
    }
    return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  };

  return {
    name,
    size,
    align,
    offsets,
    zero: () => read(new DataView(new ArrayBuffer(size)), 0),
    read,
    write,
    encode(value, into = new Uint8Array(size)) {
      write(viewOf(into, 0), 0, value);
      return into;
    },
    decode: (memory, at = 0) => read(viewOf(memory, at), at),
  };
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

function tooMany(given: number, length: number): MinivmmError {
  return new MinivmmError(`${given} elements given for an array of ${length}`, {
    code: "STRUCT_ARRAY",
    details: { given, length },
  });
}
