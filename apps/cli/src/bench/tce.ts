// Runs the mapping benchmark: the same guest program on the same modelled host, three ways of answering its hypercalls, in
// turns. Each turn is a VM of its own, whose guest times all parts by flushing the disk; medians are over turns, and a
// ratio is the median of the ratios within turns, so that whatever slows the machine down slows both sides of it.
// Invariant: nothing is counted unless the guest found all data, the host finds what it wrote, and the stage that the way
// is named after answered the calls.
import { modelHost, POWER9_DISK } from "@minivmm/model-host";
import { createVm, type PseriesSummary } from "@minivmm/vmm";
import { TCE_BENCH_PASS, TCE_BENCH_RAM, type TceBenchPart, tceBenchBatch, tceBenchProgram } from "@minivmm/vmm/guests";
import { CliError } from "../errors.ts";
import { median } from "./median.ts";
import { type Mark, stopwatchDisk } from "./stopwatch-disk.ts";

/** Who answers. `off` is KVM without acceleration: every call leaves KVM_RUN and is answered through the container. */
export const WAYS = ["off", "virtual", "real"] as const;
export type Way = (typeof WAYS)[number];

const PAGE = 4096;

export interface TceBenchOptions {
  /** Pages a hypercall, one part each. */
  readonly pages: readonly number[];
  readonly rounds: number;
  /** Pages that each part maps, fills and unmaps while it is measured, and before that; at least one batch. */
  readonly mapped: number;
  readonly warmUp: number;
  /** Called as each turn begins. */
  readonly onTurn?: (round: number, way: Way) => void;
}

export interface PartResult {
  readonly pages: number;
  /** Hypercalls that were measured in a turn, mapping and unmapping together. */
  readonly calls: number;
  /** Median of the turns: processor time, from which all rates follow, and the wall clock's. */
  readonly milliseconds: number;
  readonly wallMilliseconds: number;
  readonly callsPerSecond: number;
  readonly pagesPerSecond: number;
  /** Of data read, 10^6 bytes. */
  readonly megabytesPerSecond: number;
  /** How many times as fast as `off`. */
  readonly ratio: number;
}

export interface WayResult {
  readonly way: Way;
  /** Absent when it was run. */
  readonly unavailable?: string;
  readonly parts: readonly PartResult[];
  /** TCE hypercalls of one turn by stage, all of them. */
  readonly served: { readonly realMode: number; readonly virtualMode: number; readonly userSpace: number };
  /** Instructions that the guest executed in one turn. */
  readonly instructions: number;
}

interface Turn {
  readonly times: readonly Mark[];
  readonly summary: PseriesSummary;
}

/** Throws CliError BENCH when a turn does not do what it should. */
export async function benchTce(options: TceBenchOptions): Promise<WayResult[]> {
  const { pages, rounds, mapped, warmUp } = options;
  const parts = pages.map((each): TceBenchPart => {
    const batches = (amount: number): number => Math.ceil(amount / tceBenchBatch(each));
    return { pages: each, batches: Math.max(1, batches(mapped)), warmUp: batches(warmUp) };
  });
  const program = tceBenchProgram(parts);
  const turns = new Map<Way, Turn[]>(WAYS.map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < WAYS.length; i++) {
      // Each way is first, second and third in turn.
      const way = WAYS[(round + i) % WAYS.length] as Way;
      options.onTurn?.(round, way);
      turns.get(way)?.push(await turn(way, program));
    }
  }
  const off = turns.get("off") ?? [];
  return WAYS.map((way) => wayResult(way, turns.get(way) ?? [], off, parts));
}

async function turn(way: Way, program: Uint8Array): Promise<Turn> {
  const watch = stopwatchDisk();
  using model = modelHost("power9", { disk: watch.disk, realMode: way === "real" });
  let text = "";
  using vm = await createVm(model.spawn(), {
    machine: "pseries",
    memoryBytes: TCE_BENCH_RAM,
    kernel: { bytes: program },
    accel: "kvm",
    vfioAccel: way !== "off",
    devices: [{ driver: "vfio-pci", host: POWER9_DISK, id: "disk" }],
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
  });
  const exit = await vm.run();
  const summary = vm.summary();
  const problem = !text.includes(TCE_BENCH_PASS)
    ? `the guest said: ${text.trim().split("\n").at(-1)} (${exit.reason})`
    : watch.intact()
      ? undefined
      : "the host does not find what the guest wrote";
  if (problem !== undefined) throw failed(way, problem);
  return { summary, times: durations(watch.marks) };
}

/** From the flush that begins a part to the one that ends it. */
function durations(marks: readonly Mark[]): Mark[] {
  const out: Mark[] = [];
  for (let i = 0; i + 1 < marks.length; i += 2) {
    const [from, to] = [marks[i] as Mark, marks[i + 1] as Mark];
    out.push({ wall: to.wall - from.wall, processor: to.processor - from.processor });
  }
  return out;
}

function wayResult(way: Way, turns: readonly Turn[], off: readonly Turn[], parts: readonly TceBenchPart[]): WayResult {
  const summary = (turns.at(-1) as Turn).summary;
  const served = {
    realMode: sum(summary.tce.realMode),
    virtualMode: sum(summary.tce.virtualMode),
    userSpace: sum(summary.tce.userSpace),
  };
  const { instructions } = summary;
  const unavailable = whyUnavailable(way, served, summary);
  if (unavailable !== undefined) return { way, unavailable, parts: [], served, instructions };
  const results = parts.map(({ pages, batches }, part): PartResult => {
    const time = (turn: Turn | undefined, clock: keyof Mark): number => turn?.times[part]?.[clock] ?? Number.NaN;
    const milliseconds = median(turns.map((turn) => time(turn, "processor")));
    const wallMilliseconds = median(turns.map((turn) => time(turn, "wall")));
    const ratio = median(turns.map((turn, round) => time(off[round], "processor") / time(turn, "processor")));
    const seconds = milliseconds / 1000;
    const all = tceBenchBatch(pages) * batches;
    const calls = (2 * all) / pages;
    return {
      pages,
      calls,
      milliseconds,
      wallMilliseconds,
      callsPerSecond: calls / seconds,
      pagesPerSecond: all / seconds,
      megabytesPerSecond: (all * PAGE) / seconds / 1e6,
      ratio,
    };
  });
  return { way, parts: results, served, instructions };
}

/** The stage must have answered nearly all calls: the first of a table are the next stage's. */
function whyUnavailable(way: Way, served: WayResult["served"], summary: PseriesSummary): string | undefined {
  const all = served.realMode + served.virtualMode + served.userSpace;
  const stage = way === "real" ? "realMode" : way === "virtual" ? "virtualMode" : "userSpace";
  if (served[stage] > all * 0.9) return undefined;
  if (way === "real" && served.realMode === 0) return "not available on this host";
  throw failed(way, summary.windows.find(({ reason }) => reason !== undefined)?.reason ?? "another stage answered");
}

function failed(way: Way, why: string): CliError {
  return new CliError(`the benchmark failed (${way}): ${why}`, { code: "BENCH" });
}

function sum(record: Readonly<Record<string, number>> = {}): number {
  return Object.values(record).reduce((total, count) => total + count, 0);
}
