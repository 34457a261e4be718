// A property as a test: fast-check's values for the arguments of a check.
import fc from "fast-check";
import { it } from "vitest";

export function property<T extends [unknown, ...unknown[]]>(
  title: string,
  values: { [K in keyof T]: fc.Arbitrary<T[K]> },
  check: (...args: T) => void,
): void {
  it(title, () => {
    fc.assert(fc.property(...values, check));
  });
}
