// The few parts of the JavaScript WebAssembly API that are used, typed here because the workspace compiles without DOM types.

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** A memory that can grow, whose buffer is another one afterwards. Sizes in pages of 64 KiB. */
export interface GrowableMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** A table of functions. A function that was exported by a module is called from another without JavaScript. */
export interface FunctionTable {
  set(index: number, value: object | null): void;
}

interface WasmApi {
  readonly Memory: {
    new (limits: { initial: number; maximum: number; shared: true }): WasmMemory;
    new (limits: { initial: number; maximum: number }): GrowableMemory;
  };
  readonly Table: new (options: { element: "anyfunc"; initial: number }) => FunctionTable;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: Record<string, unknown> };
}

const api = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;

/** A shared memory of a fixed size in bytes (a multiple of 64 KiB, at most 4 GiB). */
export function sharedMemory(bytes: number): WasmMemory {
  const pages = bytes / 65536;
  return new api.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Sizes in pages of 64 KiB. Only the address space of the maximum is taken at once. */
export function growableMemory(limits: { initial: number; maximum: number }): GrowableMemory {
  return new api.Memory(limits);
}

export function functionTable(size: number): FunctionTable {
  return new api.Table({ element: "anyfunc", initial: size });
}

/** Compiles and instantiates synchronously; returns the exports. */
export function instantiate<Exports>(bytes: Uint8Array<ArrayBuffer>, env: object): Exports {
  const instance = new api.Instance(new api.Module(bytes), { env: env as Record<string, unknown> });
  return instance.exports as unknown as Exports;
}
