// Steps on the system: binding drivers and other attribute files, configuration space as the host sees it, time, and
// other processes.

import { ENODEV, O_RDONLY } from "@minivmm/host";
import type { Json } from "../lines.ts";
import type { Outcome, Scene } from "./scene.ts";

const PCI = "/sys/bus/pci";

export const SYSTEM_STEPS: Readonly<Record<string, (scene: Scene, step: Json) => Outcome>> = {
  bind: (scene, step) => ({ ret: bindDriver(scene, scene.bdf(step.dev), String(step.driver)) }),
  readtext: (scene, step) => {
    const content = scene.actor.host.readFile(scene.text(step.path));
    if (typeof content === "number") return { ret: content };
    return { ret: 0, out: { text: new TextDecoder().decode(content).trimEnd() } };
  },
  writetext: (scene, step) => ({
    ret: Math.min(0, scene.actor.host.writeFile(scene.text(step.path), scene.text(step.text))),
  }),
  readlink: (scene, step) => {
    const target = scene.actor.host.readlink(scene.text(step.path));
    return typeof target === "number" ? { ret: target } : { ret: 0, out: { name: target.split("/").at(-1) } };
  },
  pcicfg: readConfig,
  wait: (scene, step) => {
    scene.stage.wait(Number(step.ms));
    return { ret: 0 };
  },
};

/** Unbinds, sets driver_override, and has the bus find the driver; "none" leaves it without. */
export function bindDriver({ actor }: Pick<Scene, "actor">, bdf: string, driver: string): number {
  const { host } = actor;
  const at = `${PCI}/devices/${bdf}`;
  if (!host.exists(at)) return -ENODEV;
  if (host.exists(`${at}/driver`)) {
    const unbound = host.writeFile(`${at}/driver/unbind`, bdf);
    if (unbound < 0) return unbound;
  }
  const override = host.writeFile(`${at}/driver_override`, driver === "none" ? "\n" : driver);
  if (override < 0 || driver === "none") return Math.min(0, override);
  const probed = host.writeFile(`${PCI}/drivers/${driver}/bind`, bdf);
  return Math.min(0, probed);
}

function readConfig(scene: Scene, step: Json): Outcome {
  const { host } = scene.actor;
  const fd = host.open(`${PCI}/devices/${scene.bdf(step.dev)}/config`, O_RDONLY);
  if (fd < 0) return { ret: fd };
  const bytes = new Uint8Array(4);
  const width = Number(step.width);
  const ret = host.pread(fd, bytes.subarray(0, width), Number(step.off));
  host.close(fd);
  return ret > 0 ? { ret, out: { value: new Uint32Array(bytes.buffer)[0] } } : { ret };
}
