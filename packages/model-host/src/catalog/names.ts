// Names of the ready-made hosts, for those who only read what a user wrote.

const NAMES = ["power9", "desktop", "q35", "powernv9", "powernv8", "powernv10", "pseries-l1"] as const;
export type ModelHostName = (typeof NAMES)[number];

/** Names of the ready-made hosts. */
export function modelHostNames(): string[] {
  return [...NAMES];
}
