// Readiness of descriptors, from Node's event loop. This is the only user of koffi.node.poll (libuv's uv_poll), which
// koffi does not document. uv_poll takes one handle per descriptor, and koffi aborts the process when libuv refuses,
// so watchers of one descriptor share a handle, and epoll is asked first whether it would take the descriptor.

import { errnoName } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import type { Watch } from "../host.ts";
import type { KoffiModule, Libc } from "./libc.ts";

type PollHandle = ReturnType<KoffiModule["node"]["poll"]>;

const EPOLL_CTL_ADD = 1;
/** struct epoll_event is packed on x86_64 only; 16 bytes hold either form. */
const EPOLL_EVENT_SIZE = 16;
const EPOLLIN = 1;

interface Entry {
  handle: PollHandle;
  callbacks: Set<() => void>;
}

export class Watches {
  readonly #libc: Libc;
  readonly #entries = new Map<number, Entry>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** Calls back from the event loop while `fd` is readable. Throws MinivmmError WATCH_REFUSED. */
  watch(fd: number, onReadable: () => void): Watch {
    const entry = this.#entries.get(fd) ?? this.#start(fd);
    const callback = (): void => onReadable();
    entry.callbacks.add(callback);
    return {
      close: () => {
        entry.callbacks.delete(callback);
        if (entry.callbacks.size === 0 && this.#entries.get(fd) === entry) this.forget(fd);
      },
    };
  }

  /** Stops watching a descriptor, which is about to be closed. */
  forget(fd: number): void {
    const entry = this.#entries.get(fd);
    if (!entry) return;
    this.#entries.delete(fd);
    entry.handle.stop();
    entry.handle.close();
  }

  clear(): void {
    for (const fd of [...this.#entries.keys()]) this.forget(fd);
  }

  #start(fd: number): Entry {
    this.#requirePollable(fd);
    const callbacks = new Set<() => void>();
    const handle = this.#libc.koffi.node.poll(fd, { readable: true }, () => {
      for (const callback of [...callbacks]) if (callbacks.has(callback)) callback();
    });
    const entry = { handle, callbacks };
    this.#entries.set(fd, entry);
    return entry;
  }

  #requirePollable(fd: number): void {
    const event = new Uint8Array(EPOLL_EVENT_SIZE);
    event[0] = EPOLLIN;
    const epoll = this.#libc.epollCreate(0);
    const result = epoll < 0 ? epoll : this.#libc.epollControl(epoll, EPOLL_CTL_ADD, fd, event);
    if (epoll >= 0) this.#libc.close(epoll);
    if (result === 0) return;
    throw new MinivmmError(`descriptor ${fd} cannot be watched: ${errnoName(result)}`, {
      code: "WATCH_REFUSED",
      errno: -result,
      details: { fd },
      hint: "Watch descriptors that become readable, such as eventfds.",
    });
  }
}
