// `minivmm run -M pc`: what a VM is made of, when it is made anew, what the exit status says, with VMs that only pretend.
// The module that a VM's thread imports is tried on a modelled host.
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import type { PciDevice } from "@minivmm/pci";
import type { ConsoleBackend, PcSummary, PcVmConfig, Vm, VmExit } from "@minivmm/vmm";
import { VmmError } from "@minivmm/vmm";
import { describe, expect, it } from "vitest";
import { run, runWith } from "../src/cmds/run.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { renderError } from "../src/errors.ts";
import type { PcRequest } from "../src/options/pc-machine.ts";
import type { RunRequest } from "../src/options/run-options.ts";
import { pcLauncher, platformUrl } from "../src/pc/launcher.ts";
import { openPlatform } from "../src/pc/platform.ts";
import { Capture, temporaryFolder } from "./helpers.ts";
import { request } from "./requests.ts";

const SUMMARY: PcSummary = {
  machine: "pc",
  accelerator: "kvm",
  cpus: 2,
  timeline: [{ name: "machine created", ms: 12, instructions: 0 }],
  runMs: 5,
  domains: [],
  devices: [],
  interrupts: {},
  exits: {},
  unclaimed: { ports: 0, memory: 0 },
  problems: [],
  console: { outputBytes: 3, inputBytes: 0, inputDropped: 0 },
};

/** VMs that end as they are told to, one after the other; what happened is written down. */
function pretended(...ends: (VmExit | Error)[]) {
  const configs: PcVmConfig[] = [];
  const events: string[] = [];
  const create = async (config: PcVmConfig): Promise<Vm<PcSummary>> => {
    const number = configs.push(config);
    const end = ends[number - 1];
    if (end === undefined) throw new Error("one VM too many");
    events.push(`create ${number}`);
    if (end instanceof Error) throw end;
    let stopped = false;
    return {
      async run() {
        config.console.write(new TextEncoder().encode(`vm ${number}\n`));
        await new Promise(setImmediate);
        events.push(`ended ${number}`);
        return stopped ? { status: 0, reason: "stopped" } : end;
      },
      stop() {
        stopped = true;
        events.push(`stop ${number}`);
      },
      mark: () => undefined,
      summary: () => SUMMARY,
      attributes: () => Promise.reject(new Error("nobody asks")),
      close: () => void events.push(`close ${number}`),
      [Symbol.dispose]: () => undefined,
    };
  };
  return { configs, events, create };
}

function streams() {
  const stdout = new Capture();
  const stderr = new Capture();
  return { stdin: new PassThrough() as TerminalInput, stdout, stderr, env: {} };
}

async function runPretended(asked: RunRequest, ...ends: (VmExit | Error)[]) {
  const fake = pretended(...ends);
  const io = streams();
  using launcher = pcLauncher(asked.machine as PcRequest, asked, undefined, undefined, fake.create);
  let error: unknown;
  const status = await runWith(launcher, asked, io).catch((caught: unknown) => {
    error = caught;
  });
  return { status, error, stdout: io.stdout.text, stderr: io.stderr.text, ...fake };
}

const pc = (...argv: string[]) => request("-M", "pc", ...argv);
const POWER_OFF: VmExit = { status: 0, reason: "power-off" };
const RESET: VmExit = { status: 0, reason: "reset" };

describe("cli run: machine pc", () => {
  it("is made of what the command line says; host and devices are the thread's to open", async () => {
    const asked = pc(
      ...["-smp", "2", "-m", "1G", "-append", "console=ttyS0", "-host", "model:desktop,disk=/nonexistent/d"],
      ...["-object", "iommufd,id=i0", "-device", "vfio,host=02:00.0,iommufd=i0", "-device", "edu,addr=5"],
    );
    const { status, configs, stdout } = await runPretended(asked, POWER_OFF);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "vm 1\n" });
    const [{ console: _, ...config }] = configs as [PcVmConfig];
    expect(config).toEqual({
      machine: "pc",
      memoryBytes: 2 ** 30,
      cpus: 2,
      kernel: { path: "vmlinux" },
      append: "console=ttyS0",
      platform: {
        module: platformUrl(),
        data: {
          host: { kind: "model", spec: { name: "desktop", disk: "/nonexistent/d" } },
          devices: [
            { driver: "vfio-pci", host: "0000:02:00.0", iommufd: { id: "i0" } },
            { driver: "edu", slot: 5 },
          ],
        },
      },
    });
    // It goes to another thread.
    expect(structuredClone(config.platform)).toEqual(config.platform);
    expect(fileURLToPath(config.platform.module)).toMatch(/\/dist\/pc\/platform\.js$/);
  });

  it("a guest that resets gets a new machine when the old one has ended, until it does not", async () => {
    const { status, events, stdout } = await runPretended(pc(), RESET, RESET, POWER_OFF);
    expect(status).toBe(0);
    expect(stdout).toBe("vm 1\nvm 2\nvm 3\n");
    expect(events).toEqual([1, 2, 3].flatMap((n) => [`create ${n}`, `ended ${n}`, `close ${n}`]));
  });

  it("the first machine's timeline begins with the process that was started for it, a later one's with itself", async () => {
    const fake = pretended(RESET, POWER_OFF);
    const asked = pc();
    const started = { origin: performance.timeOrigin - 1000, nodeUp: 40 };
    using launcher = pcLauncher(asked.machine as PcRequest, asked, undefined, started, fake.create);
    await runWith(launcher, asked, streams());
    const [first, second] = fake.configs as [PcVmConfig, PcVmConfig];
    const { origin, marks = [] } = first.since ?? {};
    expect(origin).toBe(started.origin);
    expect(marks.map(({ name }) => name)).toEqual(["Node is up", "command read"]);
    expect(marks[0]?.ms).toBe(40);
    expect(marks[1]?.ms).toBeGreaterThan(1000);
    expect(second.since).toBeUndefined();
  });

  it("-no-reboot makes a reset the end, with status 0 and a summary", async () => {
    const { status, events, stderr } = await runPretended(pc("-no-reboot", "-summary", "-"), RESET);
    expect(status).toBe(0);
    expect(events).toEqual(["create 1", "ended 1", "close 1"]);
    expect(stderr).toMatch(/^\nTimeline\n {2}machine created +12 ms\n/);
  });

  it("a halt is an error that says what stopped it", async () => {
    const message = "CPU 1 at instruction 0x1000: KVM cannot go on: two exceptions came at once";
    const { error, events } = await runPretended(pc(), { status: 1, reason: "halt", message });
    expect(error).toMatchObject({ code: "CPU_HALTED", message: `the virtual machine stopped: ${message}` });
    expect(events.at(-1)).toBe("close 1");
  });

  it("a signal stops it, and says so in the exit status", async () => {
    const fake = pretended(RESET);
    const io = streams();
    const asked = pc();
    const create = async (config: PcVmConfig) => {
      const vm = await fake.create(config);
      setImmediate(() => process.emit("SIGTERM", "SIGTERM"));
      return vm;
    };
    using launcher = pcLauncher(asked.machine as PcRequest, asked, undefined, undefined, create);
    expect(await runWith(launcher, asked, io)).toBe(128 + 15);
    expect(fake.events).toEqual(["create 1", "stop 1", "ended 1", "close 1"]);
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  it("what is typed goes to the machine that runs now", async () => {
    const asked = pc();
    const io = streams();
    const heard: string[] = [];
    const ends = [RESET, POWER_OFF];
    const listen = (console: ConsoleBackend, number: number) =>
      new Promise<void>((resolve) => {
        console.onInput?.((bytes) => {
          heard.push(`${number}: ${new TextDecoder().decode(bytes)}`);
          resolve();
        });
      });
    let made = 0;
    const create = async ({ console }: PcVmConfig): Promise<Vm<PcSummary>> => {
      const number = ++made;
      const typed = listen(console, number);
      return {
        async run() {
          io.stdin.push(`to ${number}`);
          await typed;
          return ends[number - 1] as VmExit;
        },
        stop: () => undefined,
        mark: () => undefined,
        summary: () => SUMMARY,
        attributes: () => Promise.reject(new Error("nobody asks")),
        close: () => undefined,
        [Symbol.dispose]: () => undefined,
      };
    };
    using launcher = pcLauncher(asked.machine as PcRequest, asked, undefined, undefined, create);
    await runWith(launcher, asked, io);
    expect(heard).toEqual(["1: to 1", "2: to 2"]);
  });

  it("a refusal by KVM is one message with cause and remedy, and the status of what can be asked differently", async () => {
    const why = new VmmError("machine pc runs in KVM only, and it cannot be had: cannot open /dev/kvm: ENOENT", {
      code: "USAGE_ACCEL",
      hint: "Load the module kvm_intel, kvm_amd or kvm_hv",
    });
    const { error, stdout } = await runPretended(pc(), why);
    expect(error).toBe(why);
    expect(stdout).toBe("");
    expect(renderError(error)).toBe(`minivmm: ${why.message}\nhint: ${why.hint}\n`);
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  it("a kernel file that is not there is refused with what machine pc takes", async () => {
    const asked = request("-M", "pc", "-kernel", "/nonexistent/k");
    await expect(run(asked, streams())).rejects.toMatchObject({
      code: "USAGE_KERNEL",
      hint: expect.stringMatching(/bzImage/),
    });
  });
});

describe("cli run: platform of machine pc", () => {
  const clock = () => {
    const calls: number[] = [];
    return {
      calls,
      now: () => 0,
      after(ms: number) {
        calls.push(ms);
        return { cancel: () => undefined };
      },
    };
  };
  const platformOf = (asked: RunRequest, time = clock()) => {
    const { host, devices } = asked;
    return openPlatform(structuredClone({ host, devices }), time);
  };

  it("opens the host and makes the devices, whose timers are the thread's", async () => {
    const time = clock();
    const folder = temporaryFolder();
    const image = join(folder, "d.img");
    writeFileSync(image, "");
    truncateSync(image, 1 << 20);
    const asked = pc(
      ...[
        "-host",
        "model:desktop",
        "-drive",
        `file=${image},if=none,id=d0,readonly=on`,
        "-device",
        "nvme,drive=d0,id=n",
      ],
      ...["-device", "edu,addr=4", "-device", "vfio,host=02:00.0"],
    );
    const platform = await platformOf(asked, time);
    expect(platform.host.name).toContain("x86_64");
    const [nvme, edu, vfio] = platform.devices;
    expect(nvme).toMatchObject({ driver: "emulated", id: "n" });
    expect(edu).toMatchObject({ driver: "emulated", slot: 4 });
    expect(vfio).toEqual({ driver: "vfio-pci", host: "0000:02:00.0" });
    const { device } = edu as { device: PciDevice };
    // A DMA transfer, which takes time.
    device.writeBar(0, 0x98, 4, 1, 0);
    expect(time.calls).toHaveLength(1);
    const fd = platform.host.open("/dev/vfio/vfio", 2);
    expect(fd).toBeGreaterThanOrEqual(0);
    platform.close();
    expect(platform.host.ioctl(fd, 0x3b64)).toBeLessThan(0);
  });

  it("throws what stands in the way, with nothing left open", async () => {
    const asked = pc("-host", "model:desktop", "-drive", "file=/nonexistent/d,id=d", "-device", "nvme,drive=d");
    await expect(platformOf(asked)).rejects.toThrow(/cannot open the disk image \/nonexistent\/d/);
    const disk = pc("-host", "model:desktop,disk=/nonexistent/d");
    await expect(platformOf(disk)).rejects.toThrow(/\/nonexistent\/d/);
  });
});
