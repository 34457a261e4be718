// A WebAssembly module in the making: types, imports (functions, one memory, one table), functions and exports, assembled
// into the binary format. Imports must be declared before the first function because they share one index space.
// Source: WebAssembly core specification, chapter 5.5; shared memory limits from the threads proposal.

import { FunctionBody, type Stmt, type ValueType, valueTypeByte } from "./body.ts";
import { nameBytes, unsignedLeb } from "./leb.ts";

const PAGE_BYTES = 65536;
const LARGEST_PAGES = 65536;

export class ModuleBuilder {
  private readonly types: number[][] = [];
  private readonly imports: number[][] = [];
  private readonly exports: number[][] = [];
  private readonly functions: { type: number; body: FunctionBody }[] = [];
  private importedFunctions = 0;

  /** Import a function; returns its index. */
  importFunction(module: string, name: string, params: readonly ValueType[], results: readonly ValueType[]): number {
    if (this.functions.length > 0) throw new Error("wasm emitter: imports come before functions");
    const entry: number[] = [];
    nameBytes(entry, module);
    nameBytes(entry, name);
    entry.push(0x00);
    unsignedLeb(entry, this.typeOf(params, results));
    this.imports.push(entry);
    return this.importedFunctions++;
  }

  /** Import a shared memory of a fixed size in bytes (a multiple of 64 KiB). */
  importSharedMemory(module: string, name: string, bytes: number): void {
    this.importLimited(module, name, 0x02, 0x03, [bytes / PAGE_BYTES, bytes / PAGE_BYTES]);
  }

  /** Import a memory of any size. A shared one must have a maximum, here the largest there is. */
  importMemory(module: string, name: string, shared: boolean): void {
    this.importLimited(module, name, 0x02, shared ? 0x03 : 0x00, shared ? [0, LARGEST_PAGES] : [0]);
  }

  /** Import a table of at least `size` functions, for callIndirect(). */
  importTable(module: string, name: string, size: number): void {
    const funcref = 0x70;
    this.importLimited(module, name, 0x01, 0x00, [size], funcref);
  }

  private importLimited(
    module: string,
    name: string,
    kind: number,
    flags: number,
    limits: number[],
    of?: number,
  ): void {
    const entry: number[] = [];
    nameBytes(entry, module);
    nameBytes(entry, name);
    entry.push(kind);
    if (of !== undefined) entry.push(of);
    entry.push(flags);
    for (const limit of limits) unsignedLeb(entry, limit);
    this.imports.push(entry);
  }

  /** Add a function; `write` declares its locals and returns its code. Returns the function index. */
  addFunction(
    params: readonly ValueType[],
    results: readonly ValueType[],
    write: (body: FunctionBody) => Stmt,
    exportName?: string,
  ): number {
    const body = new FunctionBody(params, results);
    const index = this.importedFunctions + this.functions.length;
    this.functions.push({ type: this.typeOf(params, results), body });
    write(body)(body);
    if (exportName !== undefined) {
      const entry: number[] = [];
      nameBytes(entry, exportName);
      entry.push(0x00);
      unsignedLeb(entry, index);
      this.exports.push(entry);
    }
    return index;
  }

  /** The module in binary form. */
  bytes(): Uint8Array<ArrayBuffer> {
    const out: number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
    section(out, 1, this.types);
    section(out, 2, this.imports);
    section(
      out,
      3,
      this.functions.map(({ type }) => {
        const entry: number[] = [];
        unsignedLeb(entry, type);
        return entry;
      }),
    );
    section(out, 7, this.exports);
    section(
      out,
      10,
      this.functions.map(({ body }) => codeEntry(body)),
    );
    return Uint8Array.from(out);
  }

  /** Number of a function type, for callIndirect(). */
  typeOf(params: readonly ValueType[], results: readonly ValueType[]): number {
    const entry = [0x60, params.length, ...params.map(valueTypeByte), results.length, ...results.map(valueTypeByte)];
    const known = this.types.findIndex((type) => type.join() === entry.join());
    return known >= 0 ? known : this.types.push(entry) - 1;
  }
}

function section(out: number[], id: number, entries: readonly number[][]): void {
  if (entries.length === 0) return;
  const content: number[] = [];
  unsignedLeb(content, entries.length);
  for (const entry of entries) for (const byte of entry) content.push(byte);
  out.push(id);
  unsignedLeb(out, content.length);
  for (const byte of content) out.push(byte);
}

function codeEntry(body: FunctionBody): number[] {
  const content: number[] = [];
  unsignedLeb(content, body.locals.length);
  for (const type of body.locals) content.push(1, valueTypeByte(type));
  for (const byte of body.bytes) content.push(byte);
  content.push(0x0b);
  const entry: number[] = [];
  unsignedLeb(entry, content.length);
  for (const byte of content) entry.push(byte);
  return entry;
}
