// SR-IOV under vfio-pci and other drivers: the files that ask for virtual functions, capturing them, their tokens, and
// taking them away while they are in use.
import { describe, expect, it } from "vitest";
import { VfioGroup } from "../src/index.ts";
import { eventFd } from "./fixture.ts";
import { DEVICES, DRIVERS, PF, type SriovHost, sriovHost, VF0, VF1 } from "./sriov-fixture.ts";

const TOKEN = "0b1a2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const WITH_TOKEN = ` vf_token=${TOKEN}`;
const [ENOENT, EACCES, EBUSY, EINVAL, ERANGE] = [-2, -13, -16, -22, -34];

/** The physical function open with its token set, both virtual ones there. */
function withToken(options = {}) {
  const host = sriovHost(options);
  const group = host.attach(PF);
  const fd = host.open(group, PF, WITH_TOKEN);
  host.setVfs(2);
  return { ...host, group, fd };
}

const groupOf = (host: Pick<SriovHost, "topology" | "process">, bdf: string): VfioGroup =>
  VfioGroup.open(host.process, host.topology.get(bdf).group?.id ?? -1);

describe("vfio-core SR-IOV: sysfs", () => {
  it("vfio-core SR-IOV: numbers that are none, and counts there cannot be", () => {
    const { setVfs, read } = sriovHost();
    for (const text of ["abc", "-1", " 2", "2 ", "2x", "65536", "08", "0x"]) expect(setVfs(text)).toBe(EINVAL);
    expect(setVfs("3")).toBe(ERANGE);
    expect([setVfs("0x2\n"), read(`${DEVICES}/${PF}/sriov_numvfs`)]).toEqual([0, "2"]);
    expect([setVfs("02"), setVfs("+2"), setVfs(1), setVfs(0), setVfs(0), setVfs(1)]).toEqual([0, 0, EBUSY, 0, 0, 0]);
  });

  it("vfio-core SR-IOV: what a physical function shows", () => {
    const { read, setVfs } = sriovHost();
    const shown = ["totalvfs", "numvfs", "offset", "stride", "vf_device", "drivers_autoprobe", "vf_total_msix"];
    expect(shown.map((name) => read(`${DEVICES}/${PF}/sriov_${name}`))).toEqual(["2", "0", "1", "1", "10", "1", "0"]);
    expect(read(`${DEVICES}/0000:00:01.0/sriov_totalvfs`)).toBe(ENOENT);
    setVfs(2);
    expect(read(`${DEVICES}/${VF0}/sriov_totalvfs`)).toBe(ENOENT);
  });

  it("vfio-core SR-IOV: vfio-pci needs its parameter, also to let go of what there is", () => {
    const { setVfs, allow, read } = sriovHost({ enableSriov: false });
    expect([setVfs(2), setVfs(0)]).toEqual([ENOENT, 0]);
    expect([allow("Y\n"), setVfs(2), allow("off"), setVfs(0)]).toEqual([0, 0, 0, ENOENT]);
    expect(read(`${DEVICES}/${PF}/sriov_numvfs`)).toBe("2");
    expect([allow("2"), allow("1"), setVfs(0)]).toEqual([EINVAL, 0, 0]);
  });

  it("vfio-core SR-IOV: no driver, and one that cannot", () => {
    const { core, setVfs, kernel } = sriovHost();
    core.unbind(PF);
    expect(setVfs(2)).toBe(ENOENT);
    expect(kernel.log.at(-1)).toBe(`pci ${PF}: no driver bound to device; cannot configure SR-IOV`);
    core.bind(PF, "pci-stub");
    expect([setVfs(2), setVfs(0)]).toEqual([ENOENT, 0]);
    expect(kernel.log.at(-1)).toBe(`pci-stub ${PF}: driver does not support SR-IOV configuration via sysfs`);
  });

  it("vfio-core SR-IOV: links lead both ways and go with the functions", () => {
    const { process, setVfs } = sriovHost();
    setVfs(2);
    expect(process.readlink(`${DEVICES}/${PF}/virtfn1`)).toBe(`../${VF1}`);
    expect(process.readlink(`${DEVICES}/${VF1}/physfn`)).toBe(`../${PF}`);
    expect(process.readlink(`${DEVICES}/${VF1}/driver`)).toBe(`${DRIVERS}/vfio-pci`);
    setVfs(0);
    expect([process.exists(`${DEVICES}/${PF}/virtfn1`), process.exists(`${DEVICES}/${VF1}`)]).toEqual([false, false]);
  });
});

describe("vfio-core SR-IOV: drivers", () => {
  it("vfio-core SR-IOV: under vfio-pci they are captured, with nodes of their own while they last", () => {
    const { process, topology, setVfs, read, kernel } = sriovHost();
    setVfs(2);
    expect([read(`${DEVICES}/${VF0}/driver_override`), topology.get(VF1).driver]).toEqual(["vfio-pci", "vfio-pci"]);
    const ids = [PF, VF0, VF1].map((bdf) => topology.get(bdf).group?.id);
    expect(process.readdir("/dev/vfio")).toEqual([...ids.map(String), "vfio"].sort());
    expect(kernel.log).toContain(`vfio-pci ${PF}: Captured SR-IOV VF ${VF0} driver_override`);
    setVfs(0);
    expect(process.open(`/dev/vfio/${ids[1]}`, 2)).toBe(ENOENT);
  });

  it("vfio-core SR-IOV: a host driver may have one all the same, which is noted", () => {
    const { core, setVfs, kernel, topology } = sriovHost();
    setVfs(2);
    core.unbind(VF0);
    expect(core.bind(VF0, "pci-stub")).toBe(0);
    expect(kernel.log.at(-1)).toBe(
      `vfio-pci ${PF}: VF ${VF0} bound to driver pci-stub while PF bound to driver vfio-pci`,
    );
    setVfs(0);
    expect(topology.find(VF0)).toBeUndefined();
  });

  it("vfio-core SR-IOV: under nvme they stay without a driver, having no resources, and need no token", () => {
    const host = sriovHost({ driver: "nvme" });
    const { core, setVfs, topology, read, open } = host;
    expect(setVfs(2)).toBe(0);
    expect([topology.get(VF0).driver, read(`${DEVICES}/${VF0}/driver_override`)]).toEqual([null, "(null)"]);
    expect(core.bind(VF0, "nvme")).toBe(-19);
    expect(core.bind(VF0, "vfio-pci")).toBe(0);
    const group = host.attach(VF0);
    expect(open(group, VF0, WITH_TOKEN)).toBe(EINVAL);
    expect(open(group, VF0)).toBeGreaterThan(0);
  });

  it("vfio-core SR-IOV: a driver may leave them behind; then vfio-pci cannot have their physical function", () => {
    const { core, setVfs, topology, kernel } = sriovHost({ driver: "nvme" });
    setVfs(1);
    core.unbind(PF);
    expect(kernel.log.at(-1)).toBe(`nvme ${PF}: driver left SR-IOV enabled after remove`);
    expect(topology.find(VF0)).toBeDefined();
    expect([setVfs(0), setVfs(1), core.bind(PF, "vfio-pci")]).toEqual([ENOENT, 0, EBUSY]);
    expect(core.bind(PF, "nvme")).toBe(0);
    expect([setVfs(0), topology.find(VF0)]).toEqual([0, undefined]);
  });

  it("vfio-core SR-IOV: without autoprobe only an override binds one", () => {
    const { core, setVfs, topology, write } = sriovHost({ driver: "nvme" });
    core.drivers.registerDriver("any", [{ vendor: 0x1b36, device: 0x10 }]);
    expect(write(`${DEVICES}/${PF}/sriov_drivers_autoprobe`, "2")).toBe(EINVAL);
    expect(write(`${DEVICES}/${PF}/sriov_drivers_autoprobe`, "0")).toBe(0);
    setVfs(1);
    expect([write(`${DRIVERS}/any/bind`, VF0), write("/sys/bus/pci/drivers_probe", VF0)]).toEqual([-19, 0]);
    expect(topology.get(VF0).driver).toBeNull();
    write(`${DEVICES}/${VF0}/driver_override`, "any");
    expect([write(`${DRIVERS}/any/bind`, VF0), topology.get(VF0).driver]).toEqual([0, "any"]);
  });

  it("vfio-core SR-IOV: a physical function stays in D0 for them", () => {
    const host = withToken();
    const power = host.pf.device.pmOffset + 4;
    const at = 7 * 2 ** 40 + power;
    const d3 = Uint8Array.of(3, 0);
    host.process.pwrite(host.fd, d3, at);
    expect(host.pf.powerState).toBe(0);
    host.setVfs(0);
    host.process.pwrite(host.fd, d3, at);
    expect(host.pf.powerState).toBe(3);
  });
});

describe.each(["6.12", "6.1"] as const)("vfio-core SR-IOV: the device on %s", (profile) => {
  it("vfio-core SR-IOV: ids come from the physical function, memory always decodes, there is no pin", () => {
    const host = withToken({ profile });
    const fd = host.open(host.attach(VF0), VF0, WITH_TOKEN);
    const header = new Uint8Array(64);
    host.process.pread(fd, header, 7 * 2 ** 40);
    const view = new DataView(header.buffer);
    expect([view.getUint32(0, true), view.getUint16(4, true), header[0x3d]]).toEqual([0x00101b36, 2, 0]);
    expect(view.getUint32(0x10, true)).toBe(4);
    host.process.pwrite(fd, Uint8Array.of(0, 0), 7 * 2 ** 40 + 4);
    const status = new Uint8Array(4);
    expect([host.process.pread(fd, status, 0x1c), status[0]]).toEqual([4, 2]);
    expect(host.process.ioctl(fd, host.ioctls.VFIO_DEVICE_RESET)).toBe(0);
    expect(host.process.pread(fd, status, 0x1c)).toBe(4);
  });
});

describe("vfio-core SR-IOV: tokens", () => {
  it("vfio-core SR-IOV: a virtual function takes the token of its physical one and no other", () => {
    const host = withToken();
    const group = host.attach(VF0);
    const wrong = ` vf_token=${TOKEN.replace("0b", "0c")}`;
    expect(["", wrong, " vf_token=short", " other=1", `${WITH_TOKEN}x`, WITH_TOKEN + WITH_TOKEN]).toSatisfy(
      (tries: string[]) =>
        tries.map((each) => host.open(group, VF0, each)).join() ===
        [EACCES, EACCES, EINVAL, EINVAL, EINVAL, EINVAL].join(),
    );
    expect(host.open(group, VF0, `  ${WITH_TOKEN.toUpperCase().replace(" VF_TOKEN", " vf_token")}  `)).toBeGreaterThan(
      0,
    );
    expect(host.kernel.log).toContain(`vfio-pci ${VF0}: Incorrect VF token provided for device`);
  });

  it("vfio-core SR-IOV: while one is open the physical function asks for the token too", () => {
    const host = withToken();
    const { process, open, group } = host;
    const other = " vf_token=00000000-0000-0000-0000-000000000000";
    expect(process.close(open(group, PF, other))).toBe(0);
    expect(process.close(open(group, PF, WITH_TOKEN))).toBe(0);
    const vf = open(host.attach(VF0), VF0, WITH_TOKEN);
    expect([open(group, PF), open(group, PF, other)]).toEqual([EACCES, EACCES]);
    expect(process.close(open(group, PF, WITH_TOKEN))).toBe(0);
    process.close(vf);
    expect(process.close(open(group, PF))).toBe(0);
  });

  it("vfio-core SR-IOV: an open that fails counts for nothing", () => {
    const host = withToken();
    const group = groupOf(host, VF0);
    expect(host.open(group, VF0, WITH_TOKEN)).toBe(EINVAL);
    expect(host.process.close(host.open(host.group, PF))).toBe(0);
  });

  it("vfio-core SR-IOV: a token is random at first and a new one for each binding", () => {
    const host = sriovHost();
    host.setVfs(1);
    const group = host.attach(VF0);
    expect([host.open(group, VF0), host.open(group, VF0, WITH_TOKEN)]).toEqual([EACCES, EACCES]);
  });

  it("vfio-core SR-IOV: those that another driver left are opened without", () => {
    const host = sriovHost({ driver: "nvme" });
    host.setVfs(1);
    host.core.bind(VF0, "vfio-pci");
    expect(host.open(host.attach(VF0), VF0)).toBeGreaterThan(0);
  });
});

describe("vfio-core SR-IOV: taking them away", () => {
  it("vfio-core SR-IOV: an open one is asked for, and those behind it wait", () => {
    const host = withToken();
    const { process, open, setVfs, topology, clock } = host;
    const first = host.attach(VF0);
    const fd = open(first, VF0, WITH_TOKEN);
    const request = eventFd(process);
    const set = new Uint8Array(new Uint32Array([24, 0x24, 4, 0, 1, request.fd]).buffer);
    expect(process.ioctl(fd, host.ioctls.VFIO_DEVICE_SET_IRQS, set)).toBe(0);
    expect(setVfs(0)).toBe(0);
    expect(request.take()).toBe(1);
    clock.advance(20_000);
    expect([request.take(), topology.find(VF0)?.driver, topology.find(VF1)?.driver]).toEqual([
      2,
      "vfio-pci",
      "vfio-pci",
    ]);
    process.close(fd);
    expect([topology.find(VF0), topology.find(VF1), host.pf.iov?.numVfs, host.pf.locked]).toEqual([
      undefined,
      undefined,
      0,
      false,
    ]);
    expect(() => first.status()).toThrow(/ENODEV/);
  });

  it("vfio-core SR-IOV: who wants more meanwhile gets his turn afterwards", () => {
    const host = withToken();
    const { process, open, setVfs, topology } = host;
    const fd = open(host.attach(VF1), VF1, WITH_TOKEN);
    expect([setVfs(0), setVfs(1)]).toEqual([0, 0]);
    expect([topology.find(VF0), topology.find(VF1)?.driver]).toEqual([undefined, "vfio-pci"]);
    process.close(fd);
    expect([topology.find(VF0)?.driver, topology.find(VF1), host.pf.iov?.numVfs]).toEqual(["vfio-pci", undefined, 1]);
  });

  it("vfio-core SR-IOV: unbinding the physical function takes its virtual ones first, then waits for its own users", () => {
    const host = withToken();
    const { core, process, open, topology, group, fd } = host;
    const vf = open(host.attach(VF0), VF0, WITH_TOKEN);
    core.unbind(PF);
    expect([topology.find(VF1)?.driver, host.pf.driver]).toEqual(["vfio-pci", "vfio-pci"]);
    expect(process.ioctl(fd, host.ioctls.VFIO_DEVICE_RESET)).toBe(-11);
    process.close(vf);
    expect([topology.find(VF0), host.pf.driver]).toEqual([undefined, "vfio-pci"]);
    process.close(fd);
    expect([host.pf.driver, host.pf.locked]).toEqual([null, false]);
    expect(() => group.status()).toThrow(/ENODEV/);
  });

  it("vfio-core SR-IOV: one that is being unbound already is waited for once", () => {
    const host = withToken();
    const { core, process, open, topology, setVfs } = host;
    const fd = open(host.attach(VF0), VF0, WITH_TOKEN);
    expect([core.unbind(VF0), setVfs(0), core.unbind(VF0)]).toEqual([0, 0, 0]);
    process.close(fd);
    expect([topology.find(VF0), topology.find(VF1), host.pf.iov?.numVfs]).toEqual([undefined, undefined, 0]);
    expect(setVfs(2)).toBe(0);
  });
});
