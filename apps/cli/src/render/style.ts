// Few colours, and none where nobody sees them: only on a terminal, never with NO_COLOR (https://no-color.org) or
// TERM=dumb; FORCE_COLOR asks for them anyway.

export interface Style {
  readonly colour: boolean;
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  accent(text: string): string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const isSet = (value: string | undefined): boolean => value !== undefined && value !== "";

/** The style for a stream. */
export function styleFor(stream: { readonly isTTY?: boolean }, env: Environment): Style {
  const forced = isSet(env.FORCE_COLOR) && env.FORCE_COLOR !== "0";
  const colour = !isSet(env.NO_COLOR) && (forced || (stream.isTTY === true && env.TERM !== "dumb"));
  const paint = (on: number, off: number) => (text: string) => (colour ? `\x1b[${on}m${text}\x1b[${off}m` : text);
  return {
    colour,
    bold: paint(1, 22),
    dim: paint(2, 22),
    good: paint(32, 39),
    bad: paint(31, 39),
    accent: paint(36, 39),
  };
}
