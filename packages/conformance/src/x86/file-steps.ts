// Steps on descriptors: opening, closing, reading and writing at a position, eventfds, files that are no eventfds.

import { O_RDONLY, O_RDWR, O_WRONLY } from "@minivmm/host";
import type { Json } from "../lines.ts";
import type { Outcome, Scene } from "./scene.ts";
import { big, bytesOf, hexText } from "./values.ts";

const MODES: Readonly<Record<string, number>> = { r: O_RDONLY, w: O_WRONLY, rw: O_RDWR };
const EFD_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const EVENTFD_BYTES = 8;
const POLL_MS = 10;

export const FILE_STEPS: Readonly<Record<string, (scene: Scene, step: Json) => Outcome>> = {
  open: (scene, step) => {
    const mode = MODES[String(step.mode ?? "rw")] ?? O_RDWR;
    return named(scene, step, scene.actor.host.open(scene.text(step.path), mode | O_CLOEXEC));
  },
  close: (scene, step) => ({ ret: scene.actor.host.close(scene.fd(step.fd)) }),
  dup: (scene, step) => named(scene, step, scene.actor.host.dup(scene.fd(step.fd))),
  eventfd: (scene, step) => named(scene, step, scene.actor.host.eventfd(Number(step.init ?? 0), EFD_NONBLOCK)),
  pipe: (scene, step) => named(scene, step, scene.actor.pipe()),
  memfd: (scene, step) => named(scene, step, scene.actor.memfd(Number(step.size ?? 0))),
  evread: readEvent,
  evwrite: (scene, step) => {
    const count = new Uint8Array(new BigUint64Array([big(step.count)]).buffer);
    return { ret: scene.actor.host.write(scene.fd(step.fd), count) };
  },
  pread: (scene, step) => {
    const fd = scene.fd(step.fd);
    const size = Number(step.size);
    if (step.ptr === "bad") return { ret: scene.actor.preadFault(fd, size, scene.position(step)) };
    const into = new Uint8Array(size);
    const ret = scene.actor.host.pread(fd, into, scene.position(step));
    return ret > 0 ? { ret, out: { bytes: hexText(into.subarray(0, ret)) } } : { ret };
  },
  pwrite: (scene, step) => {
    const fd = scene.fd(step.fd);
    const bytes = bytesOf(step.bytes);
    if (step.ptr === "bad") return { ret: scene.actor.pwriteFault(fd, bytes.length, scene.position(step)) };
    return { ret: scene.actor.host.pwrite(fd, bytes, scene.position(step)) };
  },
  until: readUntil,
};

function named(scene: Scene, step: Json, fd: number): Outcome {
  scene.nameFd(step.as, fd);
  return { ret: fd };
}

/** Waits for a count as long as the step says, then takes it. */
function readEvent(scene: Scene, step: Json): Outcome {
  const bytes = new Uint8Array(EVENTFD_BYTES);
  const fd = scene.fd(step.fd);
  let ret = scene.actor.host.read(fd, bytes);
  for (let left = Number(step.ms ?? 0); ret < 0 && left > 0; left -= POLL_MS) {
    scene.stage.wait(Math.min(left, POLL_MS));
    ret = scene.actor.host.read(fd, bytes);
  }
  return ret === EVENTFD_BYTES ? { ret, out: { count: new BigUint64Array(bytes.buffer)[0] } } : { ret };
}

/** Reads a 32-bit register until (value & mask) == want. */
function readUntil(scene: Scene, step: Json): Outcome {
  const word = new Uint32Array(1);
  const bytes = new Uint8Array(word.buffer);
  for (let left = Number(step.ms); ; left -= POLL_MS) {
    const ret = scene.actor.host.pread(scene.fd(step.fd), bytes, scene.position(step));
    if (ret !== bytes.length) return { ret };
    const reached = ((word[0] as number) & Number(step.mask)) >>> 0 === Number(step.want);
    if (reached || left <= 0) return { ret, out: { reached: reached ? 1 : 0 } };
    scene.stage.wait(POLL_MS);
  }
}
