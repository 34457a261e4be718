// An attribute file that was opened: sequential and positioned reads of its content, writes handed to the driver.

import { O_ACCMODE, O_RDONLY, O_WRONLY } from "../constants.ts";
import { EACCES } from "../errno.ts";
import type { FileOps, OpenFile } from "./file.ts";
import { type Attribute, contentOf, storeTo } from "./sysfs.ts";

/** File operations on an attribute, or -EACCES when `flags` ask for what it does not offer. */
export function openAttribute(attribute: Attribute, flags: number): FileOps | number {
  const mode = flags & O_ACCMODE;
  if (mode !== O_WRONLY && !attribute.read && !attribute.pread) return -EACCES;
  if (mode !== O_RDONLY && !attribute.write && !attribute.pwrite) return -EACCES;
  return new AttributeFile(attribute);
}

class AttributeFile implements FileOps {
  readonly kind = "sysfs";
  readonly #attribute: Attribute;

  constructor(attribute: Attribute) {
    this.#attribute = attribute;
  }

  read(into: Uint8Array, file: OpenFile): number {
    const count = this.pread(into, file.position);
    if (count > 0) file.position += count;
    return count;
  }

  write(from: Uint8Array, file: OpenFile): number {
    const count = this.pwrite(from, file.position);
    if (count > 0) file.position += count;
    return count;
  }

  pread(into: Uint8Array, offset: number): number {
    if (this.#attribute.pread) return this.#attribute.pread(into, offset);
    const content = contentOf(this.#attribute);
    if (typeof content === "number") return content;
    const part = content.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  pwrite(from: Uint8Array, offset: number): number {
    if (this.#attribute.pwrite) return this.#attribute.pwrite(from, offset);
    return storeTo(this.#attribute, from);
  }
}
