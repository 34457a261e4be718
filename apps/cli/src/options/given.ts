// The options that were given to a command, after the parser: asked by name, values in order.

export interface Given {
  flag(name: string): boolean;
  /** The value that counts when an option is given more than once: the last. */
  last(name: string): string | undefined;
  all(name: string): readonly string[];
}

/** Reads the parser's result: flags are true, values are arrays of text (each option is declared as one). */
export function givenFrom(parsed: Readonly<Record<string, unknown>>): Given {
  const all = (name: string): readonly string[] => {
    const value = parsed[name];
    return Array.isArray(value) ? value.map(String) : [];
  };
  return { flag: (name) => parsed[name] === true, last: (name) => all(name).at(-1), all };
}
