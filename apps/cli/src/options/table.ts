// Every option of every command, once: the normaliser, the parser and the help text all read these tables.
// Long names are QEMU's; a one-letter alias is QEMU's short form.

export interface OptionSpec {
  /** Long name without dashes. */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** What the value is called in the help; absent: the option takes no value. */
  readonly value?: string;
  readonly describe: string;
  /** May be given more than once; otherwise the last one counts, as with QEMU. */
  readonly repeated?: boolean;
  /** Heading in the help text. Default "Other". */
  readonly group?: string;
}

export type OptionTable = readonly OptionSpec[];

const DEBUG: OptionSpec = { name: "debug", describe: "show stack traces of errors" };
const JSON_OUTPUT: OptionSpec = { name: "json", describe: "print JSON" };
const HOST: OptionSpec = {
  name: "host",
  aliases: ["H"],
  value: "HOST",
  describe: "real (default) or model:NAME[,key=value...], for example model:power9,disk=disk.img",
};
const CACHE: OptionSpec = { name: "cache", value: "DIR", describe: "where images are kept" };

export const RUN_OPTIONS: OptionTable = [
  {
    name: "machine",
    aliases: ["M"],
    value: "NAME",
    describe:
      "pseries[,ddw=on|off][,clock=wall|instructions][,accel=tcg|kvm][,vfio-accel=on|off], or pc (q35 is the same)[,accel=kvm]",
    group: "Machine",
  },
  {
    name: "memory",
    aliases: ["m"],
    value: "SIZE",
    describe: "memory: 512 (MiB), 512M, 1G or size=1G",
    group: "Machine",
  },
  { name: "cpu", value: "MODEL", describe: "pseries: power9; pc: host (max is the same)", group: "Machine" },
  {
    name: "smp",
    value: "N",
    describe: "number of CPUs: 1; pc: up to 32, which are the cores of one socket",
    group: "Machine",
  },
  {
    name: "accel",
    value: "NAME",
    describe: "pseries: tcg, the CPU in software (default), or kvm, the host's KVM; pc: kvm",
    group: "Machine",
  },
  { name: "enable-kvm", describe: "the same as -accel kvm; refused where the host has none", group: "Machine" },
  {
    name: "global",
    value: "DRIVER.PROP=VALUE",
    describe:
      "pseries: spapr-pci-host-bridge.dma_win_size=SIZE (dma-win-size is the same) or .ddw=on|off; iommu.check=coherency: tell DMA that misses caches or mappings",
    repeated: true,
    group: "Machine",
  },
  { name: "name", value: "NAME", describe: "name of the guest, in the JSON of -summary", group: "Machine" },
  { name: "kernel", value: "FILE", describe: "kernel image: vmlinux; pc: also a bzImage (vmlinuz)", group: "Boot" },
  { name: "initrd", value: "FILE", describe: "initial RAM file system (cpio, also compressed)", group: "Boot" },
  { name: "append", value: "TEXT", describe: "kernel command line", group: "Boot" },
  {
    name: "device",
    value: "DRIVER,...",
    describe:
      "vfio,host=BDF[,vfiofd=N][,uiommufd=N][,container=NAME] or, for pc, vfio,host=BDF,iommufd=ID[,fd=N] passes a function of the host through; nvme,drive=ID and edu[,nosnoop=on] are device models; spapr-vscsi[,id=S][,reg=UNIT] is a SCSI adapter of pseries, scsi-hd,drive=ID[,bus=S.0] a disk on it",
    repeated: true,
    group: "Devices",
  },
  {
    name: "object",
    value: "iommufd,id=ID",
    describe: "pc: iommufd,id=ID[,fd=N] for -device vfio; devices that name it share an IOMMU domain",
    repeated: true,
    group: "Devices",
  },
  {
    name: "drive",
    value: "file=F,id=ID",
    describe:
      "disk image for -device nvme and scsi-hd: file=F,if=none,id=ID[,format=raw][,readonly=on]; if=scsi puts it on a SCSI adapter by itself",
    repeated: true,
    group: "Devices",
  },
  { ...HOST, group: "Devices" },
  { name: "nographic", describe: "console on this terminal (always so)", group: "Console" },
  { name: "display", value: "none", describe: "accepted for scripts: there is no display", group: "Console" },
  { name: "serial", value: "DEV", describe: "stdio (default), mon:stdio, none", group: "Console" },
  { name: "monitor", value: "none", describe: "accepted for scripts: there is no monitor", group: "Console" },
  { name: "vga", value: "none", describe: "accepted for scripts: there is no display", group: "Console" },
  { name: "nodefaults", describe: "accepted for scripts: there are no default devices" },
  { name: "net", value: "none", describe: "accepted for scripts: there is no default network" },
  { name: "nic", value: "none", describe: "accepted for scripts: there is no default network" },
  { name: "no-reboot", describe: "end when the guest restarts itself" },
  { name: "summary", value: "FILE", describe: "write what the VM did: JSON to FILE.json, text to others, - is stderr" },
  DEBUG,
];

export const DEVICES_OPTIONS: OptionTable = [HOST, JSON_OUTPUT, DEBUG];
export const REPLAY_OPTIONS: OptionTable = [
  {
    ...HOST,
    describe: "real, or model:NAME[,key=value...]; default: a modelled machine like that of the recording",
  },
  { name: "case", value: "NAME", describe: "only cases whose names begin so", repeated: true },
  JSON_OUTPUT,
  DEBUG,
];
export const IMAGE_OPTIONS: OptionTable = [CACHE, JSON_OUTPUT, DEBUG];
export const RESET_OPTIONS: OptionTable = [
  HOST,
  { name: "dry-run", describe: "with run: everything short of opening the device and resetting" },
  JSON_OUTPUT,
  DEBUG,
];
export const DEMO_OPTIONS: OptionTable = [
  CACHE,
  { name: "builtin", describe: "boot the built-in guest program instead of Linux" },
  { name: "enable-kvm", describe: "run the guest in the modelled host's KVM" },
  { name: "summary", value: "FILE", describe: "also write the summary: JSON to FILE.json, text to others" },
  DEBUG,
];

export const BENCH_OPTIONS: OptionTable = [
  { name: "pages", value: "LIST", describe: "tce: pages that one hypercall maps, powers of two: 1,32,512 (default)" },
  { name: "rounds", value: "N", describe: "rounds over all ways, whose medians count: 7" },
  { name: "amount", value: "N", describe: "pages that each part of a round maps, or writes: tce 150000, attrs 2048" },
  JSON_OUTPUT,
  DEBUG,
];

export const DOCTOR_OPTIONS: OptionTable = [
  { name: "memory", aliases: ["m"], value: "SIZE", describe: "memory of the VM to be: 512M (default)" },
  { name: "device", value: "BDF", describe: "the function that it is to get; default: any" },
  HOST,
  JSON_OUTPUT,
  DEBUG,
];

const BINDING_OPTIONS: OptionTable = [
  { name: "group", describe: "with all of the IOMMU group, but bridges" },
  { name: "dry-run", describe: "say what would be written, and write nothing" },
  { name: "force", describe: "even if the host uses it: a mounted disk, a network card that is up" },
  HOST,
  JSON_OUTPUT,
  DEBUG,
];
export const BIND_OPTIONS: OptionTable = [
  { name: "driver", value: "NAME", describe: "who gets them: vfio-pci (default)" },
  ...BINDING_OPTIONS,
];
export const UNBIND_OPTIONS: OptionTable = [
  { name: "driver", value: "NAME", describe: "who gives them back: vfio-pci (default)" },
  ...BINDING_OPTIONS,
];

/** A VM in the words of `run`, to be told about. */
export const DESCRIBE_OPTIONS: OptionTable = [
  ...RUN_OPTIONS.filter(({ name }) => name !== "summary" && name !== "debug"),
  {
    name: "cpu-vendor",
    value: "VENDOR",
    describe: "intel, amd or power: whose CPU the guest has; default: the host's",
    group: "Machine",
  },
  JSON_OUTPUT,
  DEBUG,
];

/** Options that stand before any command. */
export const ROOT_OPTIONS: OptionTable = [DEBUG];

export const COMMANDS = [
  "run",
  "devices",
  "doctor",
  "bind",
  "unbind",
  "attrs",
  "memlock",
  "reset",
  "replay",
  "image",
  "bench",
  "demo",
] as const;
export type CommandName = (typeof COMMANDS)[number];

export const TABLES: Readonly<Record<CommandName, OptionTable>> = {
  run: RUN_OPTIONS,
  devices: DEVICES_OPTIONS,
  attrs: DESCRIBE_OPTIONS,
  memlock: DESCRIBE_OPTIONS,
  doctor: DOCTOR_OPTIONS,
  bind: BIND_OPTIONS,
  unbind: UNBIND_OPTIONS,
  reset: RESET_OPTIONS,
  replay: REPLAY_OPTIONS,
  image: IMAGE_OPTIONS,
  bench: BENCH_OPTIONS,
  demo: DEMO_OPTIONS,
};
