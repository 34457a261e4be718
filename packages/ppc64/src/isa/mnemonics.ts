// Full mnemonics: a row's base name with the suffixes of its option bits ("add" gives add, add., addo, addo.; "b" gives
// b, bl, ba, bla). At run time a map from mnemonic to row and bits, at type level the union of names and operand tuples.

import { AA_BIT, ENCODINGS, type EncodingRow, type IntegerRow, LK_BIT, OE_BIT, RC_BIT } from "./encodings.ts";

export interface Mnemonic {
  readonly name: string;
  readonly row: EncodingRow;
  /** Option bits that the suffix sets. */
  readonly bits: number;
}

function suffixes(row: EncodingRow): [suffix: string, bits: number][] {
  let out: [string, number][] = [["", 0]];
  const extend = (suffix: string, bit: number): void => {
    out = out.concat(out.map(([s, b]) => [s + suffix, b | bit]));
  };
  if (row.oe) extend("o", OE_BIT);
  if (row.rc) extend(".", RC_BIT);
  if (row.lk) extend("l", LK_BIT);
  if (row.aa) extend("a", AA_BIT);
  return out;
}

export const MNEMONICS: ReadonlyMap<string, Mnemonic> = new Map(
  ENCODINGS.filter((row) => row.form !== "CLASS").flatMap((row) =>
    suffixes(row).map(([suffix, bits]) => [row.name + suffix, { name: row.name + suffix, row, bits }] as const),
  ),
);

/** The full mnemonic of a word of a row: base name and the suffixes its option bits ask for. */
export function mnemonicOf(word: number, row: EncodingRow): string {
  let name = row.name;
  if (row.oe && word & OE_BIT) name += "o";
  if (row.rc && word & RC_BIT) name += ".";
  if (row.lk && word & LK_BIT) name += "l";
  if (row.aa && word & AA_BIT) name += "a";
  return name;
}

type Has<Flags extends string, F extends string> = ` ${Flags} ` extends `${string} ${F} ${string}` ? true : false;
type Add<N extends string, Flags extends string, F extends string, S extends string> =
  Has<Flags, F> extends true ? N | `${N}${S}` : N;
/** Union of the full mnemonics of a row. */
export type NamesOf<R extends IntegerRow> =
  R extends EncodingRow<infer N, string, infer F>
    ? Add<Add<Add<Add<N, F, "oe", "o">, F, "rc", ".">, F, "lk", "l">, F, "aa", "a">
    : never;

type One<T extends string> = T extends "LI" | "BD" | "BD?" ? number | string : number;
/** Argument tuple of an operand list: "RT,RA0,RB,EH?" becomes [RT: number, ..., EH?: number]; targets may be labels. */
export type OperandsOf<O extends string> = O extends ""
  ? []
  : O extends `${infer Head},${infer Tail}`
    ? Head extends `${string}?`
      ? [operand?: One<Head>, ...OperandsOf<Tail>]
      : [operand: One<Head>, ...OperandsOf<Tail>]
    : O extends `${string}?`
      ? [operand?: One<O>]
      : [operand: One<O>];
