// The files that bind drivers, as a user writes them: names, ids and overrides in every spelling, and what comes back.
// Ids, names and overrides are answered as Linux 6.12 and 6.1 answered on a real machine.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kstrtobool, kstrtou16 } from "../src/model/drivers/kstrto.ts";
import { parseId } from "../src/model/drivers/pci-ids.ts";
import { attach, BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, openDevice, testHost } from "./fixture.ts";

const BUS = "/sys/bus/pci";
const [EBUSY, EEXIST, ENODEV, EINVAL, EACCES] = [-16, -17, -19, -22, -13];

function files() {
  const host = testHost();
  const { process, topology } = host;
  return {
    ...host,
    /** 0 or -errno. */
    write: (path: string, text: string): number => Math.min(0, process.writeFile(`${BUS}/${path}`, text)),
    read(path: string): string | number {
      const content = process.readFile(`${BUS}/${path}`);
      return typeof content === "number" ? content : new TextDecoder().decode(content);
    },
    driver: (bdf: string) => topology.get(bdf).driver,
  };
}

describe("vfio-core driver files: ids", () => {
  it("vfio-core driver files: new_id takes two to seven hexadecimal fields", () => {
    const { write } = files();
    const answers: [string, number][] = [
      ["zzz", EINVAL],
      ["1234", EINVAL],
      ["1234 zz", EINVAL],
      ["1234,11e8", EINVAL],
      ["-1 11e8", EINVAL],
      ["0x1234 0x11e8", 0],
      [" 1234\t11e8\n", EEXIST],
      ["1234 11e8 1af4 1100", EEXIST],
      ["1234 11e8 ffffffff ffffffff ff0000 ffffff", EEXIST],
      ["1234 11e8 0 0 0 0 5", EINVAL],
      ["1234 11e8 0 0 0 0 0", 0],
      ["123456789 11e8", 0],
      ["ffffffff ffffffff", 0],
      ["1af4 1", EEXIST],
    ];
    for (const [text, answer] of answers)
      expect([text, write("drivers/vfio-pci/new_id", text)]).toEqual([text, answer]);
  });

  it("vfio-core driver files: remove_id takes one away at a time and unbinds nothing", () => {
    const { write, driver } = files();
    const ids = "drivers/vfio-pci";
    expect([write(`${ids}/new_id`, "8086 100e"), write(`${ids}/new_id`, "8086 100e 0 0 0 0 0")]).toEqual([0, 0]);
    expect(driver(BRIDGED_FREE)).toBe("vfio-pci");
    const answers = ["8086 100e 1af4", "8086 100e", "8086 100e", "8086 100e", "8086", "x"].map((text) =>
      write(`${ids}/remove_id`, text),
    );
    expect(answers).toEqual([ENODEV, 0, 0, ENODEV, EINVAL, EINVAL]);
    expect(driver(BRIDGED_FREE)).toBe("vfio-pci");
  });

  it("vfio-core driver files: a driver without a table takes any data, and the same id twice with all seven fields", () => {
    const { write, driver } = files();
    const all = "8086 100e ffffffff ffffffff 0 0 5";
    expect([1, 2].map(() => write("drivers/pci-stub/new_id", all))).toEqual([0, 0]);
    expect(write("drivers/pci-stub/new_id", "8086 100e")).toBe(EEXIST);
    expect([write("drivers/vfio-pci/new_id", "8086 100e"), driver(BRIDGED_FREE)]).toEqual([0, "pci-stub"]);
    expect(write("drivers/pci-stub/unbind", BRIDGED_FREE)).toBe(0);
    for (let i = 0; i < 2; i++) write("drivers/pci-stub/remove_id", "8086 100e");
    expect([write("drivers_probe", BRIDGED_FREE), driver(BRIDGED_FREE)]).toEqual([0, "vfio-pci"]);
  });

  it("vfio-core driver files: whatever is written as ids, two numbers are needed and 32 bits are kept", () => {
    const hex = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(
        fc.array(hex, { minLength: 2, maxLength: 7 }),
        fc.constantFrom(" ", "\t", "  ", "\n"),
        (words, blank) => {
          const parsed = parseId(words.map((word) => word.toString(16)).join(blank));
          expect(parsed?.fields).toBe(words.length);
          expect(parsed?.id.vendor).toBe(Number((words[0] as bigint) & 0xffffffffn));
          expect(parsed?.id.subvendor).toBe(words.length > 2 ? Number((words[2] as bigint) & 0xffffffffn) : 0xffffffff);
        },
      ),
    );
    fc.assert(fc.property(fc.string(), (text) => (parseId(text)?.fields ?? 2) >= 2));
  });
});

describe("vfio-core driver files: names", () => {
  it("vfio-core driver files: a name is the whole text, but for one newline", () => {
    const { write } = files();
    expect([EDU, `${EDU}\n`].map((text) => write("drivers_probe", text))).toEqual([0, 0]);
    const wrong = [` ${EDU}`, `${EDU} `, `${EDU}\n\n`, EDU.slice(5), "\n", "0000:00:1e.7"];
    for (const text of wrong) expect([text, write("drivers_probe", text)]).toEqual([text, ENODEV]);
    expect(write("drivers/vfio-pci/unbind", `${EDU}\n`)).toBe(0);
    // Without the override that brought it there, nothing matches.
    expect(write(`devices/${EDU}/driver_override`, "\n")).toBe(0);
    expect(write("drivers/vfio-pci/bind", EDU)).toBe(ENODEV);
  });

  it("vfio-core driver files: an empty write reaches nothing", () => {
    const { write, read } = files();
    const override = `devices/${EDU}/driver_override`;
    write(override, "x");
    expect([write(override, ""), read(override), write("drivers_probe", "")]).toEqual([0, "x\n", 0]);
  });

  it("vfio-core driver files: what binds can only be written; each driver shows what it has", () => {
    const { read, process } = files();
    for (const file of ["bind", "unbind", "new_id", "remove_id"]) expect(read(`drivers/vfio-pci/${file}`)).toBe(EACCES);
    expect(process.readdir(`${BUS}/drivers/vfio-pci`)).toContain(EDU);
    process.writeFile(`${BUS}/drivers/vfio-pci/unbind`, EDU);
    expect(process.readdir(`${BUS}/drivers/vfio-pci`)).not.toContain(EDU);
  });

  it("vfio-core driver files: what is bound is busy, by whichever way one asks", () => {
    const { write, driver } = files();
    write(`devices/${EDU}/driver_override`, "vfio-pci");
    expect([write("drivers/vfio-pci/bind", EDU), write("drivers/pci-stub/bind", EDU)]).toEqual([EBUSY, ENODEV]);
    write(`devices/${EDU}/driver_override`, "pci-stub");
    expect([write("drivers/pci-stub/bind", EDU), driver(EDU)]).toEqual([EBUSY, "vfio-pci"]);
  });

  it("vfio-core driver files: in a group of user space's the probe itself fails, a refusing driver only does not bind", () => {
    const { write, process, core } = files();
    core.drivers.registerDriver("e1000", [{ vendor: 0x8086, device: 0x100e }]);
    const { group } = attach(process, BRIDGED);
    expect([write("drivers_probe", BRIDGED_HOST), write("drivers/e1000/bind", BRIDGED_HOST)]).toEqual([EBUSY, EBUSY]);
    group.unsetContainer();
    core.drivers.registerDriver("picky", [{ vendor: 0x8086, device: 0x100e }], { probe: () => -5 });
    core.drivers.registerDriver("first", [{ vendor: 0x8086, device: 0x100e }]);
    write(`devices/${BRIDGED_HOST}/driver_override`, "picky");
    expect([write("drivers_probe", BRIDGED_HOST), write("drivers/picky/bind", BRIDGED_HOST)]).toEqual([0, -5]);
  });
});

describe("vfio-core driver files: driver_override", () => {
  it("vfio-core driver files: the text up to a newline or NUL, blanks and all", () => {
    const { write, read } = files();
    const override = `devices/${EDU}/driver_override`;
    const shown: [string, string][] = [
      ["vfio-pci", "vfio-pci"],
      [" vfio-pci", " vfio-pci"],
      ["vfio-pci ", "vfio-pci "],
      ["a\nb\n", "a"],
      ["\nabc", "(null)"],
      ["ab\0cd\n", "ab"],
      ["\0", "(null)"],
    ];
    for (const [text, want] of shown) expect([write(override, text), read(override)]).toEqual([0, `${want}\n`]);
  });

  it("vfio-core driver files: it has to fit into a page with its newline", () => {
    const { write, read } = files();
    const override = `devices/${EDU}/driver_override`;
    expect(write(override, "a".repeat(4094))).toBe(0);
    for (const length of [4095, 4096, 5000]) expect(write(override, "b".repeat(length))).toBe(EINVAL);
    expect(read(override)).toBe(`${"a".repeat(4094)}\n`);
  });
});

describe("vfio-core driver files: a device that waits to be unbound", () => {
  it.each(["6.12", "6.1"] as const)(
    "vfio-core driver files: others wait for their turn, resets do not (%s)",
    (profile) => {
      const { process, core, topology } = testHost({ profile });
      const { device } = openDevice(process, EDU);
      expect(core.unbind(EDU)).toBe(0);
      expect([topology.get(EDU).locked, core.bind(EDU, "pci-stub")]).toEqual([true, 0]);
      expect(process.writeFile(`${BUS}/drivers/vfio-pci/unbind`, EDU)).toBe(EDU.length);
      expect(topology.get(EDU).driver).toBe("vfio-pci");
      device.close();
      // The second who unbinds takes whatever driver is there when his turn comes.
      expect([topology.get(EDU).driver, topology.get(EDU).locked]).toEqual([null, false]);
    },
  );

  it("vfio-core driver files: the log says once that nobody can be asked, and every hundred seconds that one was", () => {
    const { process, core, kernel, clock } = testHost();
    openDevice(process, EDU);
    core.unbind(EDU);
    clock.advance(200_000);
    expect(kernel.log).toEqual([
      `vfio-pci ${EDU}: No device request channel registered, blocked until released by user`,
    ]);
  });
});

describe("vfio-core driver files: numbers", () => {
  it("vfio-core driver files: 16-bit numbers in the three notations, nothing around them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x1ffff }), (n) => {
        const want = n <= 0xffff ? n : null;
        for (const text of [`${n}`, `0x${n.toString(16)}`, `0${n.toString(8)}`, `+${n}\n`, `${n}\0x`]) {
          expect(kstrtou16(text)).toBe(want);
        }
        for (const text of [` ${n}`, `${n} `, `-${n}`, `${n}\n\n`, `${n}.`]) expect(kstrtou16(text)).toBeNull();
      }),
    );
    expect(["", "\n", "0x", "08", "+", "++1"].map(kstrtou16)).toEqual([null, null, null, null, null, null]);
  });

  it("vfio-core driver files: yes and no by their first letters", () => {
    expect(["y", "Yes", "1", "12", "on", "ON2", "true"].map(kstrtobool)).toEqual(Array(7).fill(true));
    expect(["n", "No", "0", "of", "off", "false"].map(kstrtobool)).toEqual(Array(6).fill(false));
    expect(["", "2", "x", "o", " 1"].map(kstrtobool)).toEqual(Array(5).fill(null));
  });
});
