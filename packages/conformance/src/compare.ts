// Comparison of recorded and played values. Recordings write numbers as JSON numbers, or as "0x..." where a double
// would not hold them; players answer with numbers or bigints. All of them mean the same here.
// Invariants: every recorded field must have been answered and nothing else may be; order of keys does not matter.

/** One text for equal values. */
export function normalText(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value).toString() : String(value);
  if (typeof value === "string") return /^0x[0-9a-f]+$/i.test(value) ? BigInt(value).toString() : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(normalText).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, each]) => `${key}:${normalText(each)}`).join(",")}}`;
  }
  return String(value);
}

/** The fields that differ: [name, expected, got]. A missing one is "nothing". */
export function differingFields(
  expected: Readonly<Record<string, unknown>>,
  got: Readonly<Record<string, unknown>>,
): [string, string, string][] {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(got)])].sort();
  const text = (of: Readonly<Record<string, unknown>>, name: string): string =>
    name in of ? normalText(of[name]) : "nothing";
  return names
    .map((name): [string, string, string] => [name, text(expected, name), text(got, name)])
    .filter(([, a, b]) => a !== b);
}
