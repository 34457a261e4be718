// Values as x86 recordings write them: numbers, "0x..." where a double would not do, "$NAME" for a descriptor's number,
// "&NAME" and "&NAME+off" for an address, hexadecimal bytes.

/** A number of a step, exact. */
export function big(value: unknown): bigint {
  return BigInt(typeof value === "string" || typeof value === "number" ? value : 0);
}

export function hexText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function bytesOf(hex: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(String(hex ?? ""), "hex"));
}

export function int32(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

/** A NUL-terminated string. */
export function cString(text: string): Uint8Array {
  return Uint8Array.from(`${text}\0`, (letter) => letter.charCodeAt(0));
}
