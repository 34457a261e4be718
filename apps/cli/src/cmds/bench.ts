// `minivmm bench tce`: what mappings by hypercall cost a guest with a passed-through NVMe disk, by who answers them. One
// guest program, one modelled host, interleaved rounds; all times are this process's processor time.
import { benchTce, type WayResult } from "../bench/tce.ts";
import { EXIT_OK } from "../errors.ts";
import { type CliIo, errStyle, outStyle } from "../io.ts";
import type { TceBenchRequest } from "../options/bench-request.ts";
import { renderBench } from "../render/bench.ts";
import { grouped } from "../render/numbers.ts";

const HOST = "power9";
const DEVICE = "NVMe";

/** 0 when every round did what it should. Throws CliError BENCH. */
export async function bench(request: TceBenchRequest, io: CliIo): Promise<number> {
  const { pages, rounds, mapped, json } = request;
  const note = errStyle(io);
  const results = await benchTce({
    pages,
    rounds,
    mapped,
    warmUp: mapped,
    onTurn: (round, way) => {
      if (io.stderr.isTTY === true) io.stderr.write(`\r${note.dim(`round ${round + 1} of ${rounds}: ${way}`)}\x1b[K`);
    },
  });
  if (io.stderr.isTTY === true) io.stderr.write("\r\x1b[K");
  if (json) io.stdout.write(`${JSON.stringify(benchJson(request, results), null, 2)}\n`);
  else {
    const style = outStyle(io);
    io.stdout.write(
      `${style.bold("Mapping for DMA by hypercall")}: map, let the ${DEVICE} disk fill, unmap, on modelled host ${HOST}\n`,
    );
    io.stdout.write(
      `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${grouped(mapped)} pages, interleaved; medians of processor time; all data verified\n\n`,
    );
    io.stdout.write(renderBench(results, style));
  }
  return EXIT_OK;
}

function benchJson(request: TceBenchRequest, results: readonly WayResult[]) {
  return {
    bench: "tce",
    host: HOST,
    device: DEVICE,
    rounds: request.rounds,
    pagesMapped: request.mapped,
    ways: results.map(({ unavailable, ...rest }) => ({ ...rest, unavailable: unavailable ?? null })),
  };
}
