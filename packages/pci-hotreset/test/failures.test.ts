// Every way in which a reset of a slot or bus is impossible or refused, produced on a modelled host: who is in the way, and
// what helps.
import { EAGAIN, EINVAL, ENODEV, ENOTTY } from "@minivmm/host";
import { Iommufd, VfioCdev, VfioError, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { attach, openDevice } from "../../vfio-core/test/fixture.ts";
import {
  carryOutHotReset,
  HotResetError,
  hotReset,
  hotResetInfo,
  planHotReset,
  runHotReset,
  surveyHotReset,
} from "../src/index.ts";
import { CARD, FRAGILE, groupOf, HOTPLUG, PORTS, ROOT, slotHost } from "./slot-host.ts";

interface Failure {
  readonly what: string;
  /** The host, and what fails on it. */
  readonly make: () => () => unknown;
  readonly code: string;
  readonly errno?: number;
  readonly says: readonly (string | RegExp)[];
  readonly helps: readonly (string | RegExp)[];
  readonly details?: object;
}

const FAILURES: Failure[] = [
  {
    what: "a function that is not there",
    make: () => () => surveyHotReset(slotHost().process, "0000:99:00.0"),
    code: "NO_DEVICE",
    says: ["no PCI device 0000:99:00.0"],
    helps: ["lspci -D"],
  },
  {
    what: "a function on a root bus, without a reset of its own",
    make: () => {
      const { device } = openDevice(slotHost().process, ROOT);
      return () => hotResetInfo(device);
    },
    code: "NO_HOT_RESET",
    errno: ENODEV,
    says: [`${ROOT} cannot be hot reset: ${ROOT} sits on a root bus`],
    helps: ["restart the machine"],
    details: { reason: "ROOT_BUS" },
  },
  {
    what: "a function that a bus reset loses",
    make: () => {
      const { process, kernel } = slotHost();
      kernel.sysfs.file(`/sys/bus/pci/devices/${FRAGILE}/reset_method`, { read: () => "pm\n" });
      const { device, group } = openDevice(process, FRAGILE);
      return () => hotReset(device, [group.fd]);
    },
    code: "NO_HOT_RESET",
    errno: ENODEV,
    says: ["known to be lost by a bus reset"],
    helps: ["Reset the function alone (pm)"],
    details: { reason: "NO_BUS_RESET" },
  },
  {
    what: "a neighbour on a driver of the host",
    make: () => {
      const { process, core } = slotHost();
      const { device, group } = openDevice(process, PORTS[0]);
      core.unbind(PORTS[1]);
      core.bind(PORTS[1], "e1000e");
      return () => runHotReset(planHotReset(process, device), [group]);
    },
    code: "BLOCKED",
    says: [`${PORTS[1]} (e1000e) would be hit`],
    helps: ["vfio-pci"],
    details: { blockers: [{ bdf: PORTS[1], driver: "e1000e" }] },
  },
  {
    what: "a neighbour whose group is not held",
    make: () => {
      const { process } = slotHost();
      const { device, group } = openDevice(process, PORTS[0]);
      return () => runHotReset(planHotReset(process, device), [group]);
    },
    code: "NOT_OWNED",
    says: [`it would hit ${PORTS[1]} (vfio-pci)`],
    helps: [/Open the IOMMU group\(s\) \d+ too/],
  },
  {
    what: "a neighbour whose group another process has",
    make: () => {
      const host = slotHost();
      VfioGroup.open(host.kernel.spawn({ comm: "qemu" }), groupOf(host, PORTS[1]));
      return () => carryOutHotReset(host.process, surveyHotReset(host.process, PORTS[0]));
    },
    code: "BLOCKED",
    says: [/process \d+ \(qemu\) has \/dev\/vfio\/\d+ open/],
    helps: [/^End process \d+ \(qemu\)/],
  },
  {
    what: "a group that is taken after it was looked at",
    make: () => {
      const host = slotHost();
      const survey = surveyHotReset(host.process, HOTPLUG);
      attach(host.kernel.spawn(), HOTPLUG);
      return () => carryOutHotReset(host.process, survey);
    },
    code: "NOT_OWNED",
    errno: 16,
    says: [/\/dev\/vfio\/\d+ cannot be opened/],
    helps: ["plan again"],
  },
  {
    what: "a neighbour that the iommufd does not own",
    make: () => {
      const { process } = slotHost({ vfio: { iommufd: {}, deviceCdev: true } });
      const device = VfioCdev.open(process, PORTS[0]);
      device.bind(Iommufd.open(process));
      return () => runHotReset(planHotReset(process, device));
    },
    code: "NOT_OWNED",
    says: [PORTS[1]],
    helps: ["same iommufd"],
  },
  {
    what: "a proof that does not cover everything",
    make: () => {
      const { process } = slotHost();
      const { device, group } = openDevice(process, PORTS[0]);
      return () => hotReset(device, [group.fd]);
    },
    code: "REFUSED",
    errno: EINVAL,
    says: [`${PORTS[0]} was not hot reset with 1 group(s): the kernel says EINVAL`],
    helps: ["planHotReset"],
  },
  {
    what: "a neighbour that somebody is busy with",
    make: () => {
      const { process, topology } = slotHost();
      const { device, group } = openDevice(process, CARD[0]);
      topology.get(CARD[2]).locked = true;
      return () => hotReset(device, [group.fd]);
    },
    code: "REFUSED",
    errno: EAGAIN,
    says: ["EAGAIN"],
    helps: ["try again"],
  },
  {
    what: "a function that does not come back",
    make: () => {
      const { process, topology } = slotHost();
      const { device, group } = openDevice(process, CARD[0]);
      topology.get(CARD[0]).responding = false;
      return () => hotReset(device, [group.fd]);
    },
    code: "REFUSED",
    errno: ENOTTY,
    says: ["a function did not come back"],
    helps: ["rescan the bridge"],
  },
];

describe("pci-hotreset failures", () => {
  it.each(FAILURES.map((each) => [each.what, each] as const))("pci-hotreset failure: %s", (_what, failure) => {
    const { make, code, errno, says, helps, details = {} } = failure;
    const run = make();
    let error: unknown;
    try {
      run();
    } catch (thrown) {
      error = thrown;
    }
    if (!(error instanceof HotResetError || error instanceof VfioError)) throw error ?? new Error("nothing failed");
    expect({ code: error.code, errno: error.errno }).toEqual({ code, errno });
    for (const piece of says) expect(error.message).toMatch(piece);
    for (const piece of helps) expect(error.hint).toMatch(piece);
    expect(error.details).toMatchObject(details);
  });
});
