// Runs the page attribute benchmark: one guest program without an operating system draws frames in the memory of an emulated
// display, a prefetchable BAR, through two mappings of it: guarded, and tolerant I/O (what Linux calls write-combining). The
// mapping is all that differs. Each round is a VM of its own in which both are measured; which goes first alternates, and a ratio
// is the median of the ratios within rounds, so that whatever slows the machine down slows both sides of it.
// Invariant: nothing is counted unless the guest read back what it drew, and the display shows it.
import { modelHost } from "@minivmm/model-host";
import { createVm } from "@minivmm/vmm";
import {
  FRAMES_PASS,
  FRAMES_RAM,
  type FramesPart,
  framesPartOffset,
  framesPattern,
  framesProgram,
} from "@minivmm/vmm/guests";
import { CliError } from "../errors.ts";
import { type CountedMark, medianOf, medianRatio } from "./stopwatch.ts";
import { StopwatchDisplay } from "./stopwatch-display.ts";

export const FRAME_SIZES = [4096, 1 << 20] as const;

const PAGE = 4096;
const WARM_UP_SHARE = 4;

type Mapping = FramesPart["mapping"];

export interface AttrsBenchOptions {
  readonly rounds: number;
  /** Pages of 4 KiB that each part draws while it is measured; at least one frame. */
  readonly drawn: number;
  /** Called as each round begins. */
  readonly onRound?: (round: number) => void;
}

/** One mapping; medians of the rounds. */
export interface MappingResult {
  /** Writes that the display got in a round, and of one frame. */
  readonly transactions: number;
  readonly transactionsPerFrame: number;
  /** Processor time, from which the rate follows, and the wall clock's. */
  readonly milliseconds: number;
  readonly wallMilliseconds: number;
  /** 10^6 bytes. */
  readonly megabytesPerSecond: number;
}

export interface FrameResult {
  readonly bytes: number;
  /** Frames that were measured in a round, by each mapping. */
  readonly frames: number;
  readonly guarded: MappingResult;
  readonly tolerant: MappingResult;
  /** How many times fewer transactions a tolerant mapping takes, and how many times as fast it is. */
  readonly fewer: number;
  readonly faster: number;
}

/** Throws CliError BENCH when a round does not do what it should. */
export async function benchAttrs({ rounds, drawn, onRound }: AttrsBenchOptions): Promise<FrameResult[]> {
  const sizes = FRAME_SIZES.map((bytes) => {
    const frames = Math.max(1, Math.ceil((drawn * PAGE) / bytes));
    return { bytes, frames, warmUp: Math.ceil(frames / WARM_UP_SHARE) };
  });
  const seen = new Map(
    sizes.map(({ bytes }) => [bytes, { guarded: [] as CountedMark[], tolerant: [] as CountedMark[] }]),
  );
  for (let round = 0; round < rounds; round++) {
    onRound?.(round);
    const order: readonly Mapping[] = round % 2 === 0 ? ["guarded", "tolerant"] : ["tolerant", "guarded"];
    const parts = sizes.flatMap((size) => order.map((mapping): FramesPart => ({ ...size, mapping })));
    const spent = await draw(parts);
    parts.forEach(({ bytes, mapping }, n) => {
      seen.get(bytes)?.[mapping].push(spent[n] as CountedMark);
    });
  }
  return sizes.map(({ bytes, frames }) => {
    const { guarded = [], tolerant = [] } = seen.get(bytes) ?? {};
    return {
      bytes,
      frames,
      guarded: mappingResult(guarded, bytes, frames),
      tolerant: mappingResult(tolerant, bytes, frames),
      fewer: medianRatio(guarded, tolerant, "transactions"),
      faster: medianRatio(guarded, tolerant, "processor"),
    };
  });
}

/** What each part took. */
async function draw(parts: readonly FramesPart[]): Promise<CountedMark[]> {
  const display = new StopwatchDisplay();
  using model = modelHost("power9");
  let text = "";
  using vm = await createVm(model.spawn(), {
    machine: "pseries",
    memoryBytes: FRAMES_RAM,
    kernel: { bytes: framesProgram(parts) },
    devices: [{ driver: "emulated", device: display, id: "display" }],
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
  });
  const { reason } = await vm.run();
  if (!text.includes(FRAMES_PASS)) throw failed(`the guest said: ${text.trim().split("\n").at(-1)} (${reason})`);
  parts.forEach((part, n) => {
    const at = framesPartOffset(n);
    if (Buffer.compare(display.memory.subarray(at, at + part.bytes), framesPattern(part)) === 0) return;
    throw failed(`the display does not show what was drawn through the ${part.mapping} mapping`);
  });
  return parts.map((_, n) => display.stopwatch.between(2 * n));
}

function mappingResult(rounds: readonly CountedMark[], bytes: number, frames: number): MappingResult {
  const transactions = medianOf(rounds, "transactions");
  const milliseconds = medianOf(rounds, "processor");
  return {
    transactions,
    transactionsPerFrame: transactions / frames,
    milliseconds,
    wallMilliseconds: medianOf(rounds, "wall"),
    megabytesPerSecond: (bytes * frames) / milliseconds / 1000,
  };
}

function failed(why: string): CliError {
  return new CliError(`the benchmark failed: ${why}`, { code: "BENCH" });
}
