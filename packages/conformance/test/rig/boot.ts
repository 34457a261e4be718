// Boots a machine of the rig with one kernel, in one of the ways that recordings know, and runs the guest program in it.
// The workspace is shared read-only at its own path, so its packages must be built.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ReplayReport } from "../../src/index.ts";

const WORKSPACE = fileURLToPath(new URL("../../../../", import.meta.url));
const GUEST = fileURLToPath(new URL("../../dist/rig/guest.js", import.meta.url));

/** What each way to boot adds to the usual one. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  full: [],
  nointxmask: ["--module-arg", "vfio_pci:nointxmask=1"],
  nointremap: ["--iommu", "intremap=off,aw-bits=48"],
  aw39: ["--iommu", "intremap=on,aw-bits=39"],
  noiommu: ["--iommu", "none"],
};
const SECONDS = 7200;
/** A kernel gives up while it boots when the emulator is too slow for its check of the timer. */
const ATTEMPTS = 3;
const DIED = 125;

/** Keeps every NVMe device for vfio-pci before its own driver, which some cases bind, is there to take it. */
const PREPARE = `for d in /sys/bus/pci/devices/*; do
  [ "$(cat $d/class)" = 0x010802 ] && echo vfio-pci > $d/driver_override
done
rig-modprobe nvme`;

export interface Boot {
  readonly kernel: string;
  /** "full", or another way that recordings name. */
  readonly way: string;
}

export type TimedReport = ReplayReport & { readonly seconds: number };

/** Replays recordings in one machine. Rejects with the machine's last words if it gives no report. */
export async function replayInRig(boot: Boot, recordings: readonly string[]): Promise<TimedReport[]> {
  const out = mkdtempSync(join(tmpdir(), "minivmm-rig-"));
  try {
    const words = ["replay", ...recordings.map((file) => fileURLToPath(recordingUrl(file)))];
    for (let attempt = 1; !(await run(boot, words, out, attempt === ATTEMPTS)); attempt++);
    return recordings.map((file) => JSON.parse(readFileSync(join(out, `${file}.report.json`), "utf8")) as TimedReport);
  } finally {
    rmSync(out, { recursive: true });
  }
}

export function recordingUrl(file: string): URL {
  return new URL(`../../recordings/${file}`, import.meta.url);
}

/** Whether the program ran to its end; a machine that died before is an error only if it was the `last` attempt. */
function run({ kernel, way }: Boot, words: readonly string[], out: string, last: boolean): Promise<boolean> {
  const options = WAYS[way];
  if (!options) throw new Error(`no way to boot is called ${way}`);
  const guest = ["node", "--single-threaded", GUEST, ...words].map(quoted).join(" ");
  const args = ["--kernel", kernel, ...options, "--node", "--have-module", "nvme", "--share", WORKSPACE];
  const command = `${PREPARE}\n${guest} --out "$OUT"`;
  return new Promise((resolve, reject) => {
    const rig = join(process.env.MINIVMM_RIG as string, "rig.sh");
    const child = spawn(rig, [...args, "--timeout", String(SECONDS), "--out", out, "--", command]);
    let said = "";
    const keep = (text: Buffer): void => {
      said = `${said}${text}`.slice(-4000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(true);
      else if (status === DIED && !last) resolve(false);
      else reject(new Error(`the machine with Linux ${kernel}, ${way}, ended with ${status}:\n${said}`));
    });
  });
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
