// The .modinfo section of a kernel module: NUL-terminated `key=value` texts. `depends` names the modules whose symbols
// it needs. Source: ELF-64 object file format; Linux include/linux/moduleparam.h (__MODULE_INFO), scripts/mod/modpost.c.
import { CliError } from "../errors.ts";

const SECTION_HEADERS_AT = 0x28;
const SECTION_HEADER_SIZE_AT = 0x3a;
const decoder = new TextDecoder("latin1");

function malformed(name: string, why: string): CliError {
  return new CliError(`not a kernel module: ${name}: ${why}`, {
    code: "MODULE",
    details: { name },
    hint: "fetch the image again: minivmm image rm, then pull",
  });
}

/** Values of one key, in order. Throws CliError MODULE for bytes that are no 64-bit little-endian ELF with .modinfo. */
export function modinfo(bytes: Uint8Array, key: string, name: string): string[] {
  const texts = decoder.decode(section(bytes, ".modinfo", name)).split("\0");
  return texts.filter((text) => text.startsWith(`${key}=`)).map((text) => text.slice(key.length + 1));
}

/** Names of the modules that this one needs, `-` written as `_`. */
export function moduleDependencies(bytes: Uint8Array, name: string): string[] {
  return modinfo(bytes, "depends", name)
    .flatMap((list) => list.split(","))
    .filter((each) => each !== "")
    .map(moduleName);
}

/** The kernel's form of a module's name: no path, no suffix, underscores. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf("/") + 1);
  return file.replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}

function section(bytes: Uint8Array, wanted: string, name: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64 || view.getUint32(0, false) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw malformed(name, "no 64-bit little-endian ELF file");
  }
  try {
    const table = Number(view.getBigUint64(SECTION_HEADERS_AT, true));
    const [size, count, namesIndex] = [0, 2, 4].map((at) => view.getUint16(SECTION_HEADER_SIZE_AT + at, true));
    const entry = (index: number) => {
      const at = table + index * (size as number);
      const [offset, length] = [0x18, 0x20].map((field) => Number(view.getBigUint64(at + field, true)));
      return { nameAt: view.getUint32(at, true), offset: offset as number, length: length as number };
    };
    const names = entry(namesIndex as number);
    for (let index = 0; index < (count as number); index++) {
      const { nameAt, offset, length } = entry(index);
      const start = names.offset + nameAt;
      const title = decoder.decode(bytes.subarray(start, bytes.indexOf(0, start)));
      if (title === wanted) return bytes.subarray(offset, offset + length);
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw malformed(name, "the file is cut short");
  }
  throw malformed(name, `it has no section ${wanted}`);
}
