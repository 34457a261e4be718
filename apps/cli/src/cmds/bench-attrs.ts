// `minivmm bench attrs`: what the attribute of a page costs or saves a guest that draws in a display's memory, and what a guest
// pays that hands RAM to a device whose DMA does not snoop. Interleaved rounds; all times are this process's processor time.
import { benchAttrs, type FrameResult } from "../bench/attrs.ts";
import { benchDma, type DmaResult } from "../bench/attrs-dma.ts";
import { EXIT_OK } from "../errors.ts";
import { type CliIo, errStyle, outStyle } from "../io.ts";
import type { AttrsBenchRequest } from "../options/bench-request.ts";
import { renderBenchAttrs } from "../render/bench-attrs.ts";
import { renderBenchDma } from "../render/bench-dma.ts";
import { grouped } from "../render/numbers.ts";

const DEVICE = "VGA";

/** 0 when every round did what it should. Throws CliError BENCH. */
export async function benchAttributes(request: AttrsBenchRequest, io: CliIo): Promise<number> {
  const { rounds, drawn, json } = request;
  const note = errStyle(io);
  const terminal = io.stderr.isTTY === true;
  const onRound = (what: string) => (round: number) => {
    if (terminal) io.stderr.write(`\r${note.dim(`${what}, round ${round + 1} of ${rounds}`)}\x1b[K`);
  };
  const results = await benchAttrs({ rounds, drawn, onRound: onRound("BAR") });
  const dma = await benchDma({ rounds, drawn, onRound: onRound("RAM") });
  if (terminal) io.stderr.write("\r\x1b[K");
  if (json) {
    io.stdout.write(`${JSON.stringify(benchJson(request, results, dma), null, 2)}\n`);
    return EXIT_OK;
  }
  const style = outStyle(io);
  const title = style.bold("Writing to a prefetchable BAR");
  io.stdout.write(`${title}: stores of 8 bytes to the memory of an emulated ${DEVICE} display, machine pseries\n`);
  io.stdout.write(
    `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${grouped(drawn)} pages, interleaved; medians of processor time; all data verified\n\n`,
  );
  io.stdout.write(`${renderBenchAttrs(results, style)}\n${renderBenchDma(dma, style)}`);
  return EXIT_OK;
}

function benchJson({ rounds, drawn }: AttrsBenchRequest, results: readonly FrameResult[], dma: DmaResult) {
  return { bench: "attrs", machine: "pseries", device: DEVICE, rounds, pagesDrawn: drawn, frames: results, dma };
}
