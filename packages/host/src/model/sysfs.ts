// The modelled machine's attribute files (sysfs, but any absolute path works): directories, attributes, links.
// Drivers add entries; processes read and write them. Directories appear with their first entry and stay until they
// are removed. Paths go through links like a kernel's path walk, at most 40 of them (-ELOOP). Source: fs/namei.c, fs/kernfs.

import { EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR } from "../errno.ts";
import { KernelError, refusal } from "./kernel-error.ts";

/** An attribute. Without `read` it cannot be read (-EACCES), without `write` not be written. */
export interface Attribute {
  /** The content at this moment; text usually ends in a newline. */
  read?(): string | Uint8Array;
  /** Takes what was written; nothing or >= 0 accepts it, -errno (or KernelError) refuses. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that only accepts returns nothing
  write?(text: string): number | void;
  /** Binary attributes only: access at an offset instead of whole content. Returns bytes moved or -errno. */
  pread?(into: Uint8Array, offset: number): number;
  pwrite?(from: Uint8Array, offset: number): number;
}

interface Directory {
  entries: Map<string, Node>;
}
interface Link {
  target: string;
}
interface File {
  attribute: Attribute;
}
type Node = Directory | Link | File;

const MAX_LINKS = 40;

export class SysFs {
  readonly #root: Directory = { entries: new Map() };

  /** Adds or replaces an attribute file; directories on the way appear. */
  file(path: string, attribute: Attribute): void {
    this.#put(path, { attribute });
  }

  /** Adds a symbolic link; a relative target counts from the link's directory. */
  link(path: string, target: string): void {
    this.#put(path, { target });
  }

  /** Adds an empty directory, or keeps the one that is there. */
  dir(path: string): void {
    this.#directory(split(path));
  }

  /** Takes away a file, a link (not what it points to) or a whole directory. False when there was nothing. */
  remove(path: string): boolean {
    const parts = split(path);
    const name = parts.pop();
    const parent = this.#walk(parts, true);
    return name !== undefined && isDirectory(parent) && parent.entries.delete(name);
  }

  /** The attribute at a path, or -errno. */
  attribute(path: string): Attribute | number {
    const node = this.#walk(split(path), true);
    if (typeof node === "number") return node;
    return isDirectory(node) ? -EISDIR : (node as File).attribute;
  }

  readFile(path: string): Uint8Array | number {
    const attribute = this.attribute(path);
    return typeof attribute === "number" ? attribute : contentOf(attribute);
  }

  writeFile(path: string, data: Uint8Array | string): number {
    const attribute = this.attribute(path);
    if (typeof attribute === "number") return attribute;
    return storeTo(attribute, typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  readdir(path: string): string[] | number {
    const node = this.#walk(split(path), true);
    if (typeof node === "number") return node;
    return isDirectory(node) ? [...node.entries.keys()].sort() : -ENOTDIR;
  }

  readlink(path: string): string | number {
    const node = this.#walk(split(path), false);
    if (typeof node === "number") return node;
    return "target" in node ? node.target : -EINVAL;
  }

  /** Whether the path leads to something (a dangling link does not). */
  exists(path: string): boolean {
    return typeof this.#walk(split(path), true) !== "number";
  }

  #put(path: string, node: Node): void {
    const parts = split(path);
    const name = parts.pop();
    if (name === undefined) throw new KernelError(EEXIST, "the root directory cannot be replaced");
    this.#directory(parts).entries.set(name, node);
  }

  /** The directory at `parts`, made where missing. */
  #directory(parts: string[]): Directory {
    let at = this.#root;
    for (let i = 0; i < parts.length; i++) {
      const name = parts[i] as string;
      if (!at.entries.has(name)) at.entries.set(name, { entries: new Map() });
      const next = this.#walk(parts.slice(0, i + 1), true);
      if (!isDirectory(next)) throw new KernelError(ENOTDIR, `/${parts.slice(0, i + 1).join("/")} is not a directory`);
      at = next;
    }
    return at;
  }

  /** Path walk; `follow` says whether a link at the very end is followed too. */
  #walk(parts: string[], follow: boolean): Node | number {
    const pending = [...parts].reverse();
    const stack: Directory[] = [this.#root];
    let links = 0;
    let node: Node = this.#root;
    while (pending.length > 0) {
      const name = pending.pop() as string;
      if (!isDirectory(node)) return -ENOTDIR;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        node = stack[stack.length - 1] as Directory;
        continue;
      }
      const next = node.entries.get(name);
      if (!next) return -ENOENT;
      if ("target" in next && (follow || pending.length > 0)) {
        if (++links > MAX_LINKS) return -ELOOP;
        if (next.target.startsWith("/")) stack.length = 1;
        pending.push(...split(next.target).reverse());
        node = stack[stack.length - 1] as Directory;
        continue;
      }
      if (isDirectory(next)) stack.push(next);
      node = next;
    }
    return node;
  }
}

/** An attribute's whole content, or -errno. */
export function contentOf(attribute: Attribute): Uint8Array | number {
  if (!attribute.read) return -EACCES;
  try {
    const content = attribute.read();
    return typeof content === "string" ? new TextEncoder().encode(content) : content;
  } catch (error) {
    return refusal(error);
  }
}

/** Hands bytes to an attribute: their number, or -errno. */
export function storeTo(attribute: Attribute, data: Uint8Array): number {
  try {
    if (attribute.write) {
      // An empty write ends before it reaches the attribute (sysfs_kf_write).
      if (data.length === 0) return 0;
      const result = attribute.write(new TextDecoder().decode(data)) ?? 0;
      return result < 0 ? result : data.length;
    }
    return attribute.pwrite ? attribute.pwrite(data, 0) : -EACCES;
  } catch (error) {
    return refusal(error);
  }
}

function split(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function isDirectory(node: Node | number): node is Directory {
  return typeof node === "object" && "entries" in node;
}
