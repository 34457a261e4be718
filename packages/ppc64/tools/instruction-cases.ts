// Chooses the recorded cases: for every mnemonic that user mode may execute without FP or vectors, several operand
// settings (distinct and equal registers, edge and random immediates), by the encoding table's own field descriptions.

import { type Field, fieldRange, insertField, MNEMONICS, type Mnemonic } from "../src/asm/index.ts";
import type { BranchKind, InstructionCase } from "./instruction-program.ts";
import type { Random } from "./random.ts";

/** Left out: system and random-number instructions, quadwords, big-endian-only forms, traps that would end the program. */
const SKIPPED = new Set(
  "darn icbt lq stq lqarx stqcx. lwat ldat stwat stdat copy paste. cpabort sc scv mftb wait rfebb tw td twi tdi bca bcla addg6s cdtbcd cbcdtd".split(
    " ",
  ),
);
const UPDATE = /^(l|st)[bhwd][za]?ux?$/;
const MEMORY = /^(l[bhwd]|st[bhwd])/;
const CACHE = /^(dcb|icb)/;
const ROLES: Record<string, number> = { RT: 3, RS: 3, RA: 4, RB: 5, RC: 6 };
const ANY_REGISTER = [0, 3, 4, 5, 6];
const VALID_BO = [20, 12, 4, 14, 7, 16, 18, 0, 2, 8, 10, 25];
const CTR_BO = [20, 12, 4, 14];
const ONE_HOT = [1, 2, 4, 8, 16, 32, 64, 128];
const IMMEDIATE_EDGES = [0, 1, -1, 31, 32, 63, 0x7fff, -0x8000, 0x8000, 0xffff, 0x1234];

function plainRegisters(m: Mnemonic, word: number): number {
  let out = word;
  for (const f of m.row.fields) if (f.kind === "gpr") out = insertField(out, f, ROLES[f.name]!);
  return out;
}

function immediate(random: Random, m: Mnemonic, f: Field, turn: number): number {
  if (f.name === "FXM") return m.name.includes("ocrf") ? random.pick(ONE_HOT) : random.below(256);
  if (f.kind === "spr") return random.pick([1, 8, 9]);
  if (f.name === "CY" || f.name === "TH" || f.name === "CT" || f.name === "BH") return 0;
  if (f.name === "L" && m.row.form !== "D" && !m.name.startsWith("cmp")) return 0; // sync 0, dcbf 0
  const { min, max } = fieldRange(f);
  const edges = IMMEDIATE_EDGES.filter((v) => v >= min && v <= max);
  return turn < edges.length && random.below(3) > 0 ? edges[turn]! : min + random.below(max - min + 1);
}

/** Words of a computing instruction: turn 0 has distinct registers, later ones any of the five. */
function computeCases(m: Mnemonic, random: Random): InstructionCase[] {
  const free = m.row.fields.filter((f) => f.kind !== "gpr");
  const turns = free.length === 0 ? (m.row.fields.length === 0 ? 1 : 4) : 12;
  const cases = Array.from({ length: turns }, (_, turn) => {
    let word = plainRegisters(m, (m.row.match | m.bits) >>> 0);
    for (const f of m.row.fields) {
      if (f.kind !== "gpr") word = insertField(word, f, immediate(random, m, f, turn));
      else if (turn % 3 === 2) word = insertField(word, f, random.pick(ANY_REGISTER));
    }
    return { name: m.name, table: "registers", words: [word >>> 0] };
  });
  return cases.filter((c, i) => cases.findIndex((o) => o.words[0] === c.words[0]) === i);
}

function memoryCases(m: Mnemonic): InstructionCase[] {
  const base = plainRegisters(m, (m.row.match | m.bits) >>> 0);
  const ra = m.row.fields.find((f) => f.name === "RA")!;
  const displacement = m.row.fields.find((f) => f.kind === "disp");
  const one = (table: string, ...words: number[]): InstructionCase => ({ name: m.name, table, words });
  const addi = (value: number) => (0x38840000 | (value & 0xffff)) >>> 0; // addi r4,r4,value
  const rt4 = insertField(base, m.row.fields[0]!, 4);
  const mayAlias = !(UPDATE.test(m.name) && m.name.startsWith("l")); // a load with update needs RT != RA
  if (displacement === undefined) {
    const cases = [one("mIndexed", base)];
    if (mayAlias && m.row.fields[0]!.kind === "gpr" && m.row.fields.length === 3) cases.push(one("mIndexed", rt4));
    if (ra.zero) cases.push(one("mAbsolute", insertField(base, ra, 0)));
    return cases;
  }
  const cases = [0, 8, -8, 4, -12].map((d) => one("mDisplacement", insertField(base, displacement, d)));
  for (const d of [0x7ff0, -0x7ff0]) cases.push(one("mDisplacement", addi(-d), insertField(base, displacement, d)));
  if (mayAlias) cases.push(one("mDisplacement", insertField(rt4, displacement, 4)));
  return cases;
}

/** Reserve and store, and a store without reservation (the first one always leaves none behind). */
function atomicCases(m: Mnemonic): InstructionCase[] {
  const size = m.name[m.name.startsWith("st") ? 2 : 1]!;
  const load = MNEMONICS.get(`l${size}arx`)!;
  const store = MNEMONICS.get(`st${size}cx.`)!;
  const reserve = plainRegisters(load, load.row.match);
  const put = plainRegisters(store, store.row.match);
  const put6 = insertField(put, store.row.fields[0]!, 6);
  const one = (...words: number[]): InstructionCase => ({
    name: m.name,
    table: "mAtomic",
    words: words.map((w) => w >>> 0),
  });
  return m === load
    ? [one(reserve, put6), one(reserve | 1, put6)]
    : [one(put), one(reserve, put6, put), one(reserve, put)];
}

function branchCases(m: Mnemonic, random: Random): InstructionCase[] {
  const kinds: Record<string, BranchKind> = { bclr: "lr", bcctr: "ctr", bctar: "tar" };
  const branch = kinds[m.row.name] ?? (m.name.endsWith("a") ? "absolute" : "relative");
  const bo = m.row.fields.find((f) => f.name === "BO");
  if (bo === undefined) return [{ name: m.name, table: "branches", words: [(m.row.match | m.bits) >>> 0], branch }];
  return (branch === "ctr" ? CTR_BO : VALID_BO).flatMap((value) =>
    [0, 1].map(() => {
      const word = insertField(
        insertField((m.row.match | m.bits) >>> 0, bo, value),
        m.row.fields[1]!,
        random.below(32),
      );
      return { name: m.name, table: "branches", words: [word], branch };
    }),
  );
}

/** All cases, in table order. */
export function instructionCases(random: Random): InstructionCase[] {
  return [...MNEMONICS.values()].flatMap((m) => {
    if (SKIPPED.has(m.name) || m.row.priv || m.row.beOnly || m.row.unit !== "fx") return [];
    if (/^(l.arx|st.cx\.)$/.test(m.name)) return atomicCases(m);
    if (MEMORY.test(m.name) || CACHE.test(m.name)) return memoryCases(m);
    if (/^(b|bc|bclr|bcctr|bctar)l?a?$/.test(m.name)) return branchCases(m, random);
    return computeCases(m, random);
  });
}
