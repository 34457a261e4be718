// The options that were given to a command, after the parser: asked by name, values in order.
import type { ParsedOption } from "./argv.ts";

export interface Given {
  flag(name: string): boolean;
  /** The value that counts when an option is given more than once: the last. */
  last(name: string): string | undefined;
  all(name: string): readonly string[];
}

export function givenFrom(options: readonly ParsedOption[]): Given {
  const named = (name: string) => options.filter((option) => option.name === name);
  const all = (name: string): readonly string[] => named(name).flatMap(({ value }) => value ?? []);
  return { flag: (name) => named(name).length > 0, last: (name) => all(name).at(-1), all };
}
