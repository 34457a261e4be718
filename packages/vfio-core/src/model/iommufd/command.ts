/**
 * Structs of iommufd's ioctls between user space and kernel, which grow without new numbers.
 *
 * A caller's struct may end early, from the first version's size on (EINVAL below): the rest is zero. It may be longer
 * than the kernel's: then what the kernel does not know must be zero (E2BIG). Answers are cut to the caller's size.
 * Source: iommufd_fops_ioctl, copy_struct_from_user.
 */
import { E2BIG, EINVAL, type StructType } from "@minivmm/host";
import { type IoctlCall, KernelError, type OpenFile, type UserArg } from "@minivmm/host/model";
import type { IommufdContext } from "./context.ts";

/** One call on the way. */
export interface Caller {
  readonly context: IommufdContext;
  readonly call: IoctlCall;
  /** The iommufd's file. */
  readonly file: OpenFile;
  /** Writes the struct back. Throws KernelError EFAULT. */
  respond(): void;
}

export type Execute = (caller: Omit<Caller, "respond">) => number;

const CHUNK = 4096;

/** `least`: size of the first version. The struct's `size` field is the caller's. */
export function command<V extends { size: number }>(
  struct: StructType<V>,
  least: number,
  run: (value: V, caller: Caller) => number,
): Execute {
  return (caller) => {
    const { arg } = caller.call;
    const given = new DataView(arg.copyIn(4).buffer).getUint32(0, true);
    if (given < least) return -EINVAL;
    if (!onlyZeros(arg, struct.size, given)) return -E2BIG;
    const bytes = new Uint8Array(struct.size);
    bytes.set(arg.copyIn(Math.min(given, struct.size)));
    const value = struct.decode(bytes);
    const respond = () => arg.copyOut(struct.encode(value).subarray(0, Math.min(given, struct.size)));
    return run(value, { ...caller, respond });
  };
}

/** Throws KernelError EFAULT when memory ends before something else than zero is found. */
function onlyZeros(arg: UserArg, from: number, end: number): boolean {
  for (let at = from; at < end; ) {
    const size = Math.min(CHUNK, end - at);
    const bytes = readable(arg, at, size);
    if (bytes.some((byte) => byte !== 0)) return false;
    at += bytes.length;
  }
  return true;
}

/** Up to `size` bytes: as many as there are. */
function readable(arg: UserArg, at: number, size: number): Uint8Array {
  try {
    return arg.copyIn(size, at);
  } catch (error) {
    if (!(error instanceof KernelError) || size === 1) throw error;
    return readable(arg, at, size >> 1);
  }
}
