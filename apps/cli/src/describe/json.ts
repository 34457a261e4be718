// Reports as JSON: what JSON has no number for is a text.

/** With a final newline. Bitmaps are hexadecimal texts; no limit is "unlimited". */
export function reportJson(report: object): string {
  return `${JSON.stringify(report, replace, 2)}\n`;
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  return value === Number.POSITIVE_INFINITY ? "unlimited" : value;
}
