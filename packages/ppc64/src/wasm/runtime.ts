// The few parts of the JavaScript WebAssembly API that are used, typed here because the workspace compiles without DOM types.

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

interface WasmApi {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory;
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

/** Compiles and instantiates synchronously; returns the exports. */
export function instantiate<Exports>(bytes: Uint8Array<ArrayBuffer>, env: object): Exports {
  const instance = new api.Instance(new api.Module(bytes), { env: env as Record<string, unknown> });
  return instance.exports as unknown as Exports;
}
