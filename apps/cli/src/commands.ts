// The commands: what each is for, the words that it takes, and how its command line becomes work to do. What a command
// consists of is loaded when it has been chosen, first its options and then, if they are in order, the rest: a guest that
// starts waits for nothing that it does not use.
import type { CliIo } from "./io.ts";
import type { Given } from "./options/given.ts";
import type { CommandName } from "./options/table.ts";

export type Work = (io: CliIo) => Promise<number> | number;

/** A word behind the command. */
export interface WordSpec {
  readonly name: string;
  readonly describe: string;
  /** Takes all words from here on. */
  readonly many?: boolean;
}

export interface Command {
  readonly describe: string;
  /** In order, all of them optional. Default none. */
  readonly words?: readonly WordSpec[];
  /** Below the options in the help. */
  readonly epilogue?: string;
  /** Says all that can be said about a command line without doing anything. Throws CliError USAGE_OPTION. */
  read(given: Given, words: readonly string[]): Promise<Work>;
}

const EPILOGUE = "Every long option may be written with one dash or two, as with QEMU.";
const FUNCTIONS: WordSpec = { name: "functions", describe: "PCI addresses, such as 0000:01:00.0", many: true };

export const COMMAND_TABLE: Readonly<Record<CommandName, Command>> = {
  run: {
    describe: "run a virtual machine (the default when options come first)",
    epilogue: EPILOGUE,
    async read(given) {
      const [{ parseRun }, { run }] = await Promise.all([import("./options/run-options.ts"), import("./cmds/run.ts")]);
      const request = parseRun(given);
      return (io) => run(request, io);
    },
  },
  devices: {
    describe: "list the PCI functions of a host",
    async read(given) {
      const { parseHost } = await import("./options/host.ts");
      const host = parseHost(given.last("host"));
      return async (io) => (await import("./cmds/devices.ts")).devices(host, given.flag("json"), io);
    },
  },
  doctor: {
    describe: "is this host ready to give devices to a VM, and what to do where it is not",
    async read(given) {
      const { parseDoctor } = await import("./options/doctor-request.ts");
      const request = parseDoctor(given);
      return async (io) => (await import("./cmds/doctor.ts")).doctor(request, io);
    },
  },
  bind: binder("bind", "give functions to vfio-pci"),
  unbind: binder("unbind", "give functions back to the host"),
  attrs: {
    describe: "what memory types a VM's pages have, who pins them, whether DMA snoops",
    epilogue: EPILOGUE,
    async read(given) {
      const { parseDescribe } = await import("./options/describe-request.ts");
      const request = parseDescribe(given);
      return async (io) => (await import("./cmds/attrs.ts")).attrs(request, io);
    },
  },
  memlock: {
    describe: "what a VM will have charged as locked memory, against the limit, before it starts",
    epilogue: EPILOGUE,
    async read(given) {
      const { parseDescribe } = await import("./options/describe-request.ts");
      const request = parseDescribe(given);
      return async (io) => (await import("./cmds/memlock.ts")).memlock(request, io);
    },
  },
  reset: {
    describe: "reset whole slots or buses: plan BDF..., run BDF...",
    words: [{ name: "action", describe: "plan, run" }, FUNCTIONS],
    async read(given, words) {
      const { parseReset } = await import("./options/reset-request.ts");
      const request = parseReset(given, words);
      return async (io) => (await import("./cmds/reset.ts")).reset(request, io);
    },
  },
  replay: {
    describe: "compare a host with recorded answers of real kernels",
    words: [
      {
        name: "files",
        describe: "recordings (.jsonl, .jsonl.gz); none: those that come with minivmm",
        many: true,
      },
    ],
    async read(given, files) {
      const { parseHost } = await import("./options/host.ts");
      const host = given.last("host");
      const request = {
        files,
        cases: given.all("case"),
        json: given.flag("json"),
        ...(host === undefined ? {} : { host: parseHost(host) }),
      };
      return async (io) => (await import("./cmds/replay.ts")).replay(request, io);
    },
  },
  image: {
    describe: "guest kernels: pull NAME, list, rm NAME",
    words: [
      { name: "action", describe: "pull, list, rm" },
      { name: "name", describe: "debian-ppc64el" },
    ],
    async read(given, [action, name]) {
      const { parseImage } = await import("./options/image-request.ts");
      const request = parseImage(given, action, name);
      return async (io) => (await import("./cmds/image.ts")).image(request, io);
    },
  },
  bench: {
    describe: "measure what a guest's DMA mappings cost (tce), or the attributes of its pages (attrs)",
    words: [{ name: "subject", describe: "tce, attrs" }],
    epilogue:
      "attrs compares guarded with write-combining stores to a BAR, and RAM under snooped with unsnooped DMA; the software CPU has no caches, so what the latter shows is the cost of the flushes that a driver must make.",
    async read(given, [subject]) {
      const { parseBench } = await import("./options/bench-request.ts");
      const request = parseBench(given, subject);
      return async (io) =>
        request.subject === "attrs"
          ? (await import("./cmds/bench-attrs.ts")).benchAttributes(request, io)
          : (await import("./cmds/bench.ts")).bench(request, io);
    },
  },
  demo: {
    describe: "boot Linux with a passed-through disk on a modelled host",
    async read(given) {
      const [cache, summary] = [given.last("cache"), given.last("summary")];
      const request = {
        builtin: given.flag("builtin"),
        kvm: given.flag("enable-kvm"),
        ...(cache === undefined ? {} : { cache }),
        ...(summary === undefined ? {} : { summary }),
      };
      return async (io) => (await import("./cmds/demo.ts")).demo(request, io);
    },
  },
};

function binder(action: "bind" | "unbind", describe: string): Command {
  return {
    describe,
    words: [FUNCTIONS],
    async read(given, words) {
      const { parseBind } = await import("./options/bind-request.ts");
      const request = parseBind(action, given, words);
      return async (io) => (await import("./cmds/bind.ts")).bind(request, io);
    },
  };
}
