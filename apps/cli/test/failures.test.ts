// What a user of the command line is told when a device cannot be passed through: cause, remedy, and the command that does
// it. Each row is a whole `minivmm run` on a modelled host, on which something was prepared, for one machine after the other.
// Machine pc goes as far as its devices, with the KVM of the modelled host.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ModelProcess, SpawnOptions } from "@minivmm/host/model";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it, vi } from "vitest";
import type { OpenedHost } from "../src/host/open.ts";
import type { HostRequest } from "../src/options/host.ts";
import { cli, echoGuest, temporaryFolder } from "./helpers.ts";

/** Opens hosts in place of the command's own way, with what a row prepares. */
let prepared: ((request: HostRequest) => OpenedHost) | null = null;
vi.mock("../src/host/open.ts", async (original) => {
  const real = await original<typeof import("../src/host/open.ts")>();
  return {
    ...real,
    openHost: (...given: Parameters<typeof real.openHost>) => prepared?.(given[0]) ?? real.openHost(...given),
  };
});

vi.mock("../src/pc/launcher.ts", async (original) => {
  const real = await original<typeof import("../src/pc/launcher.ts")>();
  const { takeDevices } = await import("./pc-in-process.ts");
  return {
    ...real,
    pcLauncher: (...[machine, request, initrd, started]: Parameters<typeof real.pcLauncher>) =>
      real.pcLauncher(machine, request, initrd, started, takeDevices),
  };
});

interface Machine {
  readonly name: string;
  readonly argv: () => readonly string[];
  readonly host: string;
  /** A function for guests, alone in its group; what its message calls the IOMMU's module. */
  readonly disk: string;
  /** On vfio-pci, in a group with `neighbour`, which has no driver. */
  readonly shared: string;
  readonly neighbour: string;
  /** A host driver has it. */
  readonly held: string;
  readonly module: string;
}

/** The kernel is none that machine pc could run, and is not looked into. */
function runOf(machine: string): readonly string[] {
  const kernel = join(temporaryFolder(), "guest");
  writeFileSync(kernel, echoGuest());
  return ["run", "-M", machine, "-m", "64", "-kernel", kernel];
}

const PSERIES: Machine = {
  name: "pseries",
  argv: () => runOf("pseries"),
  host: "model:power9",
  disk: "0001:01:00.0",
  shared: "0003:02:01.0",
  neighbour: "0003:02:02.0",
  held: "0000:01:00.0",
  module: "vfio_iommu_spapr_tce",
};

const PC: Machine = {
  name: "pc",
  argv: () => runOf("pc"),
  host: "model:desktop",
  disk: "0000:02:00.0",
  shared: "0000:04:01.0",
  neighbour: "0000:04:03.0",
  held: "0000:01:00.0",
  module: "vfio_iommu_type1",
};

const MACHINES = [PSERIES, PC];

interface Failure {
  readonly what: string;
  /** Options of the modelled host. */
  readonly options?: string;
  /** Changes the host; may return how the VM's process is spawned. */
  readonly prepare?: (model: ModelledHost, machine: Machine) => SpawnOptions | undefined;
  /** The device of the command line. Default: the machine's disk. */
  readonly device?: (machine: Machine) => string;
  /** Lines on standard error, in order. */
  readonly says: (machine: Machine) => readonly (string | RegExp)[];
}

const groupOf = (model: ModelledHost, bdf: string): number => model.topology.get(bdf).group?.id ?? -1;

const FAILURES: readonly Failure[] = [
  {
    what: "a device that is not there",
    device: () => "0099:01:00.0",
    says: () => [
      "no PCI device 0099:01:00.0",
      "hint: List the devices with `lspci -D`",
      "hint: minivmm devices lists them",
    ],
  },
  {
    what: "no IOMMU",
    options: ",iommu=none",
    says: ({ disk }) => [
      `${disk} is in no IOMMU group`,
      /^hint: (Start Linux on the bare machine|Enable)/,
      "hint: minivmm doctor",
    ],
  },
  {
    what: "a device that the host uses",
    device: ({ held }) => held,
    says: ({ held }) => [
      `${held} is held by the host driver nvme`,
      `echo vfio-pci > /sys/bus/pci/devices/${held}/driver_override`,
      `hint: minivmm bind ${held}`,
    ],
  },
  {
    what: "a device without a driver",
    device: ({ neighbour }) => neighbour,
    says: ({ neighbour }) => [`${neighbour} is bound to no driver`, "hint: Bind it", `hint: minivmm bind ${neighbour}`],
  },
  {
    what: "VFIO that is not loaded",
    prepare: (model) => {
      model.kernel.nodes.delete("/dev/vfio/vfio");
      return undefined;
    },
    says: ({ module }) => ["there is no /dev/vfio/vfio", `modprobe -a vfio-pci ${module}`, "hint: minivmm doctor"],
  },
  {
    what: "VFIO without its part for the IOMMU",
    prepare: (model) => {
      model.vfio.iommuDrivers.length = 0;
      return undefined;
    },
    says: ({ module }) => ["IOMMU", `modprobe ${module}`],
  },
  {
    what: "a group's node that is not visible here",
    prepare: (model, { disk }) => {
      model.kernel.nodes.delete(`/dev/vfio/${groupOf(model, disk)}`);
      return undefined;
    },
    says: ({ disk }) => [`does not exist, although ${disk} is bound to vfio-pci`, "inside a container"],
  },
  {
    what: "no permission for the group's node",
    prepare: () => ({ root: false }),
    says: () => [
      /no permission to open \/dev\/vfio\/\d+: owner root, group root, mode 0600; this process runs as user 1000/,
      "hint: As root: chown 1000 /dev/vfio/",
      "vfiofd=N",
    ],
  },
  {
    what: "a group that another VM has",
    prepare: (model, { disk }) => {
      VfioGroup.open(model.spawn({ comm: "qemu-system-ppc" }), groupOf(model, disk));
      return undefined;
    },
    says: () => [
      /IOMMU group \d+ is in use: process \d+ \(qemu-system-ppc\) has \/dev\/vfio\/\d+ open/,
      /^hint: A group belongs to one user at a time\. End process \d+ \(qemu-system-ppc\)/,
    ],
  },
  {
    what: "a group with a member that the host uses",
    device: ({ shared }) => shared,
    prepare: (model, { neighbour }) => {
      model.faults.takeGroup(neighbour, "e1000e");
      return undefined;
    },
    says: ({ neighbour }) => [
      `is not viable: ${neighbour} is bound to e1000e`,
      `hint: All devices of a group move together, if the host can do without: echo vfio-pci > /sys/bus/pci/devices/${neighbour}/driver_override`,
      `hint: minivmm bind --group ${neighbour}`,
    ],
  },
  {
    what: "too little locked memory",
    options: ",memlock=1M",
    says: () => [
      /it needs (at least )?\d{8,} bytes \([\d.]+ MiB\) of locked memory, and the limit is 1048576 bytes \(1024 KiB\)/,
      "memlock in /etc/security/limits.conf",
      "hint: minivmm memlock",
    ],
  },
];

/** The host of a row, as the command gets it. */
function open(failure: Failure, machine: Machine): (request: HostRequest) => OpenedHost {
  return (request) => {
    if (request.kind !== "model") throw new Error("a row is about a modelled host");
    const { name, ...spec } = request.spec;
    const model = modelHost(name, spec);
    const host: ModelProcess = model.spawn(failure.prepare?.(model, machine) ?? {});
    const close = (): void => model.close();
    return { host, title: name, close, [Symbol.dispose]: close };
  };
}

describe.each(MACHINES.map((machine) => [machine.name, machine] as const))(
  "cli failures: machine %s",
  (_name, machine) => {
    it.each(FAILURES.map((each) => [each.what, each] as const))(
      "says what is wrong about %s",
      async (_what, failure) => {
        const { options = "", device = () => machine.disk, says } = failure;
        prepared = open(failure, machine);
        const argv = [
          ...machine.argv(),
          "-host",
          `${machine.host}${options}`,
          "-device",
          `vfio,host=${device(machine)}`,
        ];
        const { status, stdout, stderr } = await cli(argv);
        prepared = null;
        expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
        const lines = stderr.trimEnd().split("\n");
        expect(lines[0]).toMatch(/^minivmm: /);
        expect(lines).toHaveLength(Math.max(says(machine).length, 2));
        for (const [i, piece] of says(machine).entries()) expect(lines[i]).toMatch(piece);
      },
    );
  },
);
