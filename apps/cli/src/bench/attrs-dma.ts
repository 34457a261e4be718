// Runs the RAM half of the page attribute benchmark: one guest program without an operating system fills a page by stores and has
// edu read it, by DMA that snoops caches and by DMA that does not, before which it flushes what it wrote. The device, the stores
// and the doorbell are the same; the software CPU has no caches, so the flushes that a driver must make are all that differs.
// Rounds and ratios are as for the frames. Afterwards the checker of DMA looks at two short runs: it has to find the driver that
// forgets its flushes, and nothing in the one that makes them.
// Invariant: nothing is counted unless the device has what was stored, and gave it back to the guest.
import { modelHost } from "@minivmm/model-host";
import { type CoherencyReport, createVm } from "@minivmm/vmm";
import { DMA_BLOCKS, DMA_BYTES, DMA_PASS, DMA_RAM, type DmaPart, dmaPattern, dmaProgram } from "@minivmm/vmm/guests";
import { CliError } from "../errors.ts";
import { type CountedMark, medianOf, medianRatio } from "./stopwatch.ts";
import { StopwatchEdu } from "./stopwatch-edu.ts";

const WARM_UP_SHARE = 4;
/** RAM is so much faster than a display that its part needs more pages to be measured as well. */
const TRANSFERS_FOR_PAGE = 16;
const CHECKED_TRANSFERS = 4;

const WAYS = {
  snooped: { snooped: true, flushed: false },
  unsnooped: { snooped: false, flushed: true },
} as const;
type Way = keyof typeof WAYS;

export interface DmaBenchOptions {
  readonly rounds: number;
  /** Pages of 4 KiB that a part of the frames draws; 16 times as many are handed over. */
  readonly drawn: number;
  /** Called as each round begins. */
  readonly onRound?: (round: number) => void;
}

/** One way; medians of the rounds. */
export interface DmaWayResult {
  /** Transfers that the device made in a round. */
  readonly transfers: number;
  /** Cache blocks that the guest flushed in a round, and for one transfer. */
  readonly flushes: number;
  readonly flushesPerTransfer: number;
  /** Processor time, from which the rates follow, and the wall clock's. */
  readonly milliseconds: number;
  readonly wallMilliseconds: number;
  readonly transfersPerSecond: number;
  /** 10^6 bytes. */
  readonly megabytesPerSecond: number;
}

/** What the checker of DMA said of DMA that does not snoop. */
export interface CheckedDma {
  readonly flushed: boolean;
  readonly transfers: number;
  readonly reports: readonly CoherencyReport[];
}

export interface DmaResult {
  /** Of a transfer. */
  readonly bytes: number;
  readonly snooped: DmaWayResult;
  readonly unsnooped: DmaWayResult;
  /** How many times the time of snooped transfers those take that are not. */
  readonly slower: number;
  readonly checked: readonly CheckedDma[];
}

/** Throws CliError BENCH when a round does not do what it should, or the checker does not say what it should. */
export async function benchDma({ rounds, drawn, onRound }: DmaBenchOptions): Promise<DmaResult> {
  const transfers = drawn * TRANSFERS_FOR_PAGE;
  const counts = { rounds: transfers, warmUp: transfers / WARM_UP_SHARE };
  const seen: Record<Way, CountedMark[]> = { snooped: [], unsnooped: [] };
  for (let round = 0; round < rounds; round++) {
    onRound?.(round);
    const order: readonly Way[] = round % 2 === 0 ? ["snooped", "unsnooped"] : ["unsnooped", "snooped"];
    const { spent } = await handOver(order.map((way) => ({ ...WAYS[way], ...counts })));
    order.forEach((way, n) => {
      seen[way].push(spent[n] as CountedMark);
    });
  }
  return {
    bytes: DMA_BYTES,
    snooped: wayResult(seen.snooped, 0),
    unsnooped: wayResult(seen.unsnooped, DMA_BLOCKS),
    slower: medianRatio(seen.unsnooped, seen.snooped, "processor"),
    checked: [await check(false), await check(true)],
  };
}

async function check(flushed: boolean): Promise<CheckedDma> {
  const part: DmaPart = { snooped: false, flushed, rounds: CHECKED_TRANSFERS, warmUp: 0 };
  const { reports } = await handOver([part], true);
  const found = reports.reduce((sum, { kind, count }) => sum + (kind === "unflushed" ? count : Number.NaN), 0);
  const expected = flushed ? 0 : CHECKED_TRANSFERS;
  if (found === expected) return { flushed, transfers: CHECKED_TRANSFERS, reports };
  throw failed(`the checker reports ${JSON.stringify(reports)}, not ${expected} transfers past a cache`);
}

/** What each part took, and what the checker says if it is asked. */
async function handOver(
  parts: readonly DmaPart[],
  checked = false,
): Promise<{ readonly spent: readonly CountedMark[]; readonly reports: readonly CoherencyReport[] }> {
  const device = new StopwatchEdu();
  using model = modelHost("power9");
  let text = "";
  using vm = await createVm(model.spawn(), {
    machine: "pseries",
    memoryBytes: DMA_RAM,
    kernel: { bytes: dmaProgram(parts) },
    devices: [{ driver: "emulated", device, id: "edu" }],
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
    ...(checked ? { coherency: {} } : {}),
  });
  const { reason } = await vm.run();
  if (!text.includes(DMA_PASS)) throw failed(`the guest said: ${text.trim().split("\n").at(-1)} (${reason})`);
  const spent = parts.map((_, n) => device.stopwatch.between(2 * n));
  parts.forEach((part, n) => {
    const { transactions } = spent[n] as CountedMark;
    const right = Buffer.compare(device.buffers[2 * n + 1] ?? new Uint8Array(), dmaPattern(part)) === 0;
    if (right && transactions === part.rounds) return;
    throw failed(
      `${transactions} of ${part.rounds} transfers, and the device ${right ? "has" : "has not"} the last one`,
    );
  });
  return { spent, reports: vm.summary().coherency ?? [] };
}

function wayResult(rounds: readonly CountedMark[], flushesPerTransfer: number): DmaWayResult {
  const transfers = medianOf(rounds, "transactions");
  const milliseconds = medianOf(rounds, "processor");
  return {
    transfers,
    flushes: transfers * flushesPerTransfer,
    flushesPerTransfer,
    milliseconds,
    wallMilliseconds: medianOf(rounds, "wall"),
    transfersPerSecond: (transfers / milliseconds) * 1000,
    megabytesPerSecond: (DMA_BYTES * transfers) / milliseconds / 1000,
  };
}

function failed(why: string): CliError {
  return new CliError(`the benchmark failed: ${why}`, { code: "BENCH" });
}
