// Debian's kernel as a level-2 guest that uses a passed-through device of the rig, for each device, each kind of
// interrupt, one CPU and two. MINIVMM_RIG_MONITOR=qemu runs the same under QEMU (minivmm,qemu: both, to compare);
// MINIVMM_RIG_CASES takes those whose names match, such as nvme or -2$; MINIVMM_RIG_KERNEL is 6.12 or 6.1.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Case, casesFor, DEVICES } from "./cases.ts";
import { makeDisks, wasWritten } from "./disks.ts";
import { buildInitrd } from "./initrd.ts";
import { prepareKernel } from "./kernel.ts";
import { runSteps } from "./machine.ts";
import { INITRD, type Monitor, monitorsOf } from "./monitors.ts";
import { judge, table, type Verdict } from "./verdict.ts";

const { MINIVMM_RIG_MONITOR = "minivmm", MINIVMM_RIG_CASES = "", MINIVMM_RIG_KERNEL = "6.12" } = process.env;
const SECONDS = 150;

const work = mkdtempSync(join(tmpdir(), "minivmm-rig-"));
const initrd = join(work, "level2.img");
const kernel = prepareKernel(MINIVMM_RIG_KERNEL);
const { missing } = buildInitrd(kernel, initrd);
const cases = casesFor(new RegExp(MINIVMM_RIG_CASES));
const verdicts: Verdict[] = [];
for (const [name, why] of missing) console.log(`${name} is left out: ${why}`);

/** A machine with fresh disks, in which `monitor` runs every case. */
async function runAll(monitor: Monitor, wanted: readonly Case[]): Promise<Map<string, Verdict>> {
  const machine = {
    kernel: kernel.version,
    options: [...monitor.options, "--kernel-in", "--file", `${initrd}:${INITRD}`, ...makeDisks(work)],
    prepare: `rig-bind vfio-pci ${DEVICES.map(({ bdf }) => bdf).join(" ")}`,
  };
  const steps = wanted.map((each) => ({ name: each.name, command: monitor.command(each), seconds: SECONDS }));
  const found = new Map<string, Verdict>();
  await runSteps(machine, steps, (done) => {
    const each = wanted.find(({ name }) => name === done.name) as Case;
    const verdict = judge(monitor.name, each, done);
    found.set(each.name, verdict);
    const head = `${monitor.name} ${each.name}: ${verdict.total.toFixed(1)} s`;
    const said = verdict.problems.length === 0 ? [] : done.lines.map(({ at, text }) => `${at.toFixed(2)} ${text}`);
    console.log([head, ...verdict.problems, ...said].join("\n    "));
  });
  return found;
}

afterAll(() => {
  rmSync(work, { recursive: true });
  console.log(table(verdicts));
});

for (const monitor of monitorsOf(MINIVMM_RIG_MONITOR)) {
  describe(`vmm: devices passed to Linux ${kernel.release} under ${monitor.name}`, () => {
    let found = new Map<string, Verdict>();
    beforeAll(async () => {
      const start = performance.now();
      found = await runAll(
        monitor,
        cases.filter(({ device }) => !missing.has(device.name)),
      );
      verdicts.push(...found.values());
      console.log(`${monitor.name}: ${found.size} guests in ${((performance.now() - start) / 1000).toFixed(0)} s`);
    });

    for (const { name, device, kind, cpus, area } of cases) {
      it.skipIf(missing.has(device.name))(
        `${device.name} works with ${kind} on ${cpus} CPU${cpus > 1 ? "s" : ""}`,
        () => {
          expect(found.get(name)?.problems).toEqual([]);
          if (device.disk) expect(wasWritten(work, device.name, area)).toBe(true);
        },
      );
    }
  });
}
