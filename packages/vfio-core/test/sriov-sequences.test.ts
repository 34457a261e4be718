// Random orders of making, using and taking away virtual functions, binding and unbinding on the way. Invariants hold
// after every step; when everybody has gone, the host is as it was.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VfioGroup } from "../src/index.ts";
import { DEVICES, PF, type SriovHost, sriovHost, VF0, VF1 } from "./sriov-fixture.ts";

const TOKEN = " vf_token=0b1a2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const FUNCTIONS = [PF, VF0, VF1];

interface User {
  readonly group: VfioGroup;
  readonly fd: number;
}

type Step =
  | { readonly do: "numvfs"; readonly count: number }
  | { readonly do: "open" | "close" | "unbind" | "reset"; readonly which: number; readonly driver?: undefined }
  | { readonly do: "bind"; readonly which: number; readonly driver: string }
  | { readonly do: "time" };

const which = fc.integer({ min: 0, max: 2 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("numvfs" as const), count: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ do: fc.constantFrom("open" as const, "close" as const, "reset" as const), which }),
    fc.record({ do: fc.constant("unbind" as const), which }),
    fc.record({
      do: fc.constant("bind" as const),
      which,
      driver: fc.constantFrom("vfio-pci", "vfio-pci", "pci-stub", "nvme"),
    }),
    fc.constant({ do: "time" as const }),
  ),
  { maxLength: 40 },
);

function namesIn({ process }: SriovHost, folder: string): string[] {
  const names = process.readdir(folder);
  return typeof names === "number" ? [] : names.sort();
}

class Run {
  readonly host: SriovHost;
  readonly users = new Map<string, User[]>();

  constructor(host: SriovHost) {
    this.host = host;
  }

  take(step: Step): void {
    const { host } = this;
    if (step.do === "numvfs") host.setVfs(step.count);
    else if (step.do === "time") host.clock.advance(10_000);
    else {
      const bdf = FUNCTIONS[step.which] as string;
      if (step.do === "open") this.#open(bdf);
      else if (step.do === "close") this.close(bdf);
      else if (step.do === "reset") this.#reset(bdf);
      else if (host.topology.find(bdf)) {
        if (step.do === "unbind") host.core.unbind(bdf);
        else if (step.driver) host.core.bind(bdf, step.driver);
      }
    }
    this.check();
  }

  #open(bdf: string): void {
    const { host } = this;
    const id = host.topology.find(bdf)?.group?.id;
    const mine = this.users.get(bdf) ?? [];
    const known = mine[0]?.group;
    if (id === undefined || (!known && !namesIn(host, "/dev/vfio").includes(`${id}`))) return;
    let group: VfioGroup;
    try {
      group = known ?? host.attach(bdf);
    } catch {
      return;
    }
    const fd = host.open(group, bdf, bdf === PF || host.topology.get(bdf).driverOverride ? TOKEN : "");
    if (fd < 0 && !known) group.close();
    if (fd < 0) return;
    mine.push({ group, fd });
    this.users.set(bdf, mine);
  }

  close(bdf: string): void {
    const mine = this.users.get(bdf) ?? [];
    const user = mine.pop();
    if (!user) return;
    expect(this.host.process.close(user.fd)).toBe(0);
    if (mine.length === 0) user.group.close();
  }

  #reset(bdf: string): void {
    const user = this.users.get(bdf)?.[0];
    if (!user) return;
    const answer = this.host.process.ioctl(user.fd, this.host.ioctls.VFIO_DEVICE_RESET);
    expect([0, -11]).toContain(answer);
    // Only who is being asked to go finds the lock taken.
    expect(answer === -11).toBe(this.host.topology.get(bdf).locked);
  }

  /** What must be true between any two calls. */
  check(): void {
    const { topology, core, process, pf } = this.host;
    const virtual = topology.functions.filter((fn) => fn.physfn);
    const count = pf.iov?.numVfs ?? 0;
    expect(virtual.length).toBeLessThanOrEqual(count);
    expect(count > 0).toBe(pf.device.sriov?.enabled);
    for (const fn of virtual) {
      expect(fn.responding).toBe(true);
      expect(fn.group?.functions).toEqual([fn]);
      expect(process.exists(`${DEVICES}/${fn.name}`)).toBe(true);
    }
    const nodes = [...core.devices.values()].map((device) => `${device.fn.group?.id}`);
    expect(
      namesIn(this.host, "/dev/vfio")
        .filter((name) => name !== "vfio")
        .sort(),
    ).toEqual(nodes.sort());
    for (const [bdf, users] of this.users) {
      if (users.length > 0) expect(core.device(bdf)?.openCount).toBe(users.length);
    }
  }
}

describe.each(["6.12", "6.1"] as const)("vfio-core SR-IOV sequences on %s", (profile) => {
  it("vfio-core SR-IOV sequences: whatever the order, nothing is left behind", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom("vfio-pci", "nvme"), (list, driver) => {
        const host = sriovHost({ profile, driver });
        const before = [host.topology.groups.length, host.topology.functions.length];
        const run = new Run(host);
        for (const step of list) run.take(step);
        for (const bdf of FUNCTIONS) while ((run.users.get(bdf)?.length ?? 0) > 0) run.close(bdf);
        run.check();
        // Nobody is left: whoever waited had his turn, and what is there can be taken away.
        if (host.pf.driver === null) host.core.bind(PF, "nvme");
        if (host.pf.driver !== "nvme" && host.pf.driver !== "vfio-pci") {
          host.core.unbind(PF);
          host.core.bind(PF, "nvme");
        }
        expect(host.setVfs(0)).toBe(0);
        host.core.unbind(PF);
        expect([host.topology.groups.length, host.topology.functions.length]).toEqual(before);
        expect([host.core.devices.size, host.core.groups.size, host.pf.locked, host.pf.iov?.virtfns.length]).toEqual([
          0,
          0,
          false,
          0,
        ]);
        expect(host.process.readdir("/dev/vfio")).toEqual(["vfio"]);
        expect(namesIn(host, DEVICES)).toEqual(["0000:00:01.0", PF]);
      }),
      { numRuns: 150 },
    );
  });
});
