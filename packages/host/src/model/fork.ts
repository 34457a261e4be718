// What fork(2) copies: descriptors of the same open files, and the address space with private memory duplicated and
// shared memory shared. Locked-memory accounting starts at zero in the child. Source: kernel/fork.c (dup_mmap, dup_fd).

import { MAP_FIXED } from "../constants.ts";
import type { Backing } from "./area.ts";
import type { FdTable } from "./fds.ts";
import type { AddressSpace } from "./mm.ts";
import type { Reference } from "./reference.ts";

/** Gives `child`, an empty table, the descriptors of `parent` under the same numbers. */
export function copyDescriptors<F extends Reference>(parent: FdTable<F>, child: FdTable<F>): void {
  for (const fd of parent.list()) {
    const file = parent.get(fd);
    if (file) child.set(fd, file.get());
  }
}

/** Gives `child`, an empty address space, the areas of `parent` at the same addresses. */
export function copyAreas(parent: AddressSpace, child: AddressSpace): void {
  const copies = new Map<ArrayBufferLike, ArrayBuffer>();
  for (const area of parent.areas) {
    const { start, end, prot, offset, pageSize } = area;
    const backing = backingFor(area.backing, child, copies);
    backing.file?.get();
    child.mapBacking({ length: end - start, prot, flags: MAP_FIXED, address: start }, backing, offset, pageSize);
  }
}

function backingFor(backing: Backing, child: AddressSpace, copies: Map<ArrayBufferLike, ArrayBuffer>): Backing {
  if (!backing.buffer) return backing;
  if (backing.shared) return { ...backing, physical: child.hold(backing.buffer) };
  let copy = copies.get(backing.buffer);
  if (!copy) {
    copy = new ArrayBuffer(backing.buffer.byteLength);
    new Uint8Array(copy).set(new Uint8Array(backing.buffer));
    copies.set(backing.buffer, copy);
  }
  return { ...backing, buffer: copy, physical: child.hold(copy) };
}
