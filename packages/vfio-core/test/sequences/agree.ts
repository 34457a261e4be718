// Comparison that costs nothing while it holds: sequences compare thousands of numbers.

/** Throws when the modelled kernel has something else than the reference wants. */
export function agree(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what}: the model has ${String(found)}, the rules want ${String(wanted)}`);
}

export function agreeList(what: string, found: readonly unknown[], wanted: readonly unknown[]): void {
  const same = found.length === wanted.length && found.every((each, i) => each === wanted[i]);
  if (!same) throw new Error(`${what}: the model has [${found.join(", ")}], the rules want [${wanted.join(", ")}]`);
}
