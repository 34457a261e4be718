// `minivmm demo`, which `npm start` runs: boots Linux on machine pseries with an NVMe disk of a modelled POWER9 host
// passed through, watches it read and write that disk, and checks the disk from the host's side.
import { performance } from "node:perf_hooks";
import { POWER9_DISK } from "@minivmm/model-host";
import { createVm, type Vm } from "@minivmm/vmm";
import { watchSignals } from "../console/signals.ts";
import { GutterConsole } from "../demo/console.ts";
import { checkDemoDisk, demoDisk } from "../demo/disk.ts";
import { builtinGuest, type DemoGuest, linuxGuest } from "../demo/guests.ts";
import { CliError, EXIT_FAILURE, EXIT_OK, renderError } from "../errors.ts";
import { openHost } from "../host/open.ts";
import { ImageCache } from "../image/cache.ts";
import { type CliIo, errStyle, outStyle } from "../io.ts";
import { duration } from "../render/numbers.ts";
import { renderSummary } from "../render/summary.ts";
import { writeSummary } from "../render/summary-file.ts";
import { fetchImage, imageSource } from "./image.ts";

export interface DemoRequest {
  readonly cache?: string;
  /** Do not even try to fetch Linux. */
  readonly builtin: boolean;
  /** In the modelled host's KVM. */
  readonly kvm: boolean;
  readonly summary?: string;
}

const MEMORY_MIB = 512;
const HOST = "power9";

/** Resolves with the exit status: 0 when guest and host agree that the disk was read and written. */
export async function demo(request: DemoRequest, io: CliIo): Promise<number> {
  const style = outStyle(io);
  const say = (line = ""): boolean => io.stdout.write(`${line}\n`);
  say(style.bold("minivmm: a guest with a disk of its own"));
  say();
  const guest = await chooseGuest(request, io);
  say(
    `  guest    ${guest.title} on machine pseries, ${MEMORY_MIB} MiB, POWER9 ${request.kvm ? "in KVM" : "in software"}`,
  );
  say(`  host     modelled POWER9: sPAPR TCE IOMMU, 64 KiB pages (model:${HOST})`);
  say(`  device   -device vfio,host=${POWER9_DISK}  NVMe disk, 64 MiB`);
  say();

  const disk = demoDisk();
  using opened = await openHost({ kind: "model", spec: { name: HOST } }, { disk });
  let vm: Vm | undefined;
  const console = new GutterConsole(io.stdout, style, (line) => {
    if (line === guest.initLine) vm?.mark("init started");
  });
  const signals = watchSignals(() => vm?.stop());
  try {
    const started = performance.now();
    vm = await createVm(opened.host, {
      machine: "pseries",
      memoryBytes: MEMORY_MIB << 20,
      kernel: guest.kernel,
      ...(guest.initrd === undefined ? {} : { initrd: guest.initrd }),
      append: guest.append,
      accel: request.kvm ? "kvm" : "soft",
      devices: [{ driver: "vfio-pci", host: POWER9_DISK, id: "disk" }],
      console,
    });
    const exit = signals.received === undefined ? await vm.run() : { status: 1, reason: "stopped" as const };
    console.finish();
    if (signals.status !== undefined) return signals.status;
    const problem = checkDemoDisk(disk);
    const checks: [string, boolean, string | undefined][] = [
      ["the guest switched itself off", exit.reason === "power-off", exit.reason],
      ["the guest read the disk's pattern and wrote its own", console.lines.includes(guest.passLine), undefined],
      ["the host finds what the guest wrote", problem === undefined, problem],
    ];
    say();
    for (const [text, good, why] of checks) {
      say(`  ${good ? style.good("ok") : style.bad("--")}  ${text}${good || why === undefined ? "" : `: ${why}`}`);
    }
    const summary = vm.summary();
    say(`\n${renderSummary(summary, style)}`);
    if (request.summary !== undefined) writeSummary(request.summary, summary, io.stderr, errStyle(io));
    const passed = checks.every(([, good]) => good);
    const verdict = passed ? style.good("passed") : style.bad("failed");
    say(`\n${verdict} in ${duration(performance.now() - started)}`);
    return passed ? EXIT_OK : EXIT_FAILURE;
  } finally {
    vm?.close();
    signals.close();
  }
}

/** Linux where apt can give it, else the built-in program; an interruption is not a reason to go on. */
async function chooseGuest(request: DemoRequest, io: CliIo): Promise<DemoGuest> {
  if (request.builtin) return builtinGuest();
  try {
    const cache = new ImageCache(request.cache, io.env);
    const source = imageSource("debian-ppc64el");
    if (cache.find(source.name) === undefined) io.stdout.write(`  fetching ${source.summary}, once\n`);
    return await linuxGuest((await fetchImage(cache, source, io)).image);
  } catch (error) {
    if (!(error instanceof CliError) || error.code === "INTERRUPTED") throw error;
    io.stdout.write(
      `  ${renderError(error).trimEnd().replaceAll("\n", "\n  ")}\n  No Linux kernel can be had here; the built-in guest program takes the same path.\n\n`,
    );
    return builtinGuest();
  }
}
