// Input states of the recorded instruction cases: edge values in pairs, and addresses around the scratch window.
// State: r0, r3, r4, r5, r6, LR, CTR, XER<<32|CR.

import { SCRATCH, type StateTables, XER_MASK } from "./instruction-program.ts";
import type { Random } from "./random.ts";

const EDGES = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  127n,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0xaaaaaaaaaaaaaaaan,
  0x5555555555555555n,
  0x0123456789abcdefn,
  0xff0100807f00ff80n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
];
/** Pairs (r4, r5) that matter to division, carries and overflow. */
const PAIRS: readonly (readonly [bigint, bigint])[] = [
  [0x8000000000000000n, 0xffffffffffffffffn],
  [0xffffffff80000000n, 0xffffffffffffffffn],
  [0x80000000n, 0xffffffffn],
  [1n, 0n],
  [0n, 0n],
  [0xffffffffffffffffn, 0n],
  [0x7fffffffffffffffn, 1n],
  [0x7fffffffffffffffn, 0x7fffffffffffffffn],
  [0x8000000000000000n, 0x8000000000000000n],
  [0xffffffffffffffffn, 0xffffffffffffffffn],
  [0x7fffffffn, 0x7fffffffn],
  [7n, 0xfffffffffffffffdn],
  [0xfffffffffffffff9n, 2n],
  [3n, 0x100000000n],
  [5n, 7n],
];
const COUNTERS = [0n, 1n, 2n, 0x100000000n, 0x100000001n, 0x8000000000000000n];

function flags(random: Random): bigint {
  return (BigInt((random.u32() & XER_MASK) >>> 0) << 32n) | BigInt(random.u32());
}

function state(random: Random, r3: bigint, r4: bigint, r5: bigint, r6 = random.pick(EDGES)): bigint[] {
  const values = [random.pick(EDGES), r3, r4, r5, r6, random.u64() & ~3n, random.pick(COUNTERS), flags(random)];
  return values.map((v) => BigInt.asUintN(64, v));
}

const BASE = BigInt(SCRATCH) + 128n;

/**
 * registers: any values. mDisplacement: r4 = address of any alignment. mIndexed: r4 + r5 = address, through large values
 * too. mAbsolute: r5 = address. mAtomic: r4 + r5 = address aligned to 8. branches: like registers, fewer.
 */
export function stateTables(random: Random): StateTables {
  const registers = PAIRS.map(([x, y]) => state(random, random.pick(EDGES), x, y));
  for (const x of EDGES)
    for (let i = 0; i < 3; i++) registers.push(state(random, random.pick(EDGES), x, random.pick(EDGES)));
  for (const x of EDGES) registers.push(state(random, x, random.pick(EDGES), random.u64(), random.u64()));
  while (registers.length < 128) registers.push(state(random, random.u64(), random.u64(), random.u64(), random.u64()));
  const offsets = Array.from({ length: 16 }, (_, i) => BigInt(i - 8));
  const data = () => random.pick([...EDGES.slice(-9), random.u64(), random.u64()]);
  return {
    registers,
    branches: Array.from({ length: 32 }, () => state(random, data(), data(), data())),
    mDisplacement: offsets.map((o) => state(random, data(), BASE + o, data())),
    mIndexed: offsets.map((o) => {
      const far = random.pick([0n, 8n, -8n, 1n << 40n, -(1n << 62n), 0x7fffffffn, random.u64()]);
      return state(random, data(), BASE + o - far, far);
    }),
    mAbsolute: offsets.map((o) => state(random, data(), data(), BASE + o)),
    mAtomic: [-16n, -8n, 0n, 8n].flatMap((o) =>
      [0n, 8n, 1n << 33n].map((far) => state(random, data(), BASE + o - far, far)),
    ),
  };
}
